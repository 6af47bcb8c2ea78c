"""Whose each file of a model repo is, and the record of it that `crm upgrade` and `crm check` read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from carrental_mlops.scaffold.compose import files_of

Owner = Literal["managed", "yours", "merged"]
RECORD = ".crm.json"
HEADER = "Managed by crm"
_MERGED = ("pyproject.toml", "requirements/")


def owner_of(path: str, text: str) -> Owner:
    """Who changes a file.

    Args:
        path: relative to the repo, with `/`.
        text: its content; a managed file says so in its first line.

    Returns:
        `managed` (the package), `merged` (both) or `yours` (the team).
    """
    if path.startswith(_MERGED):
        return "merged"
    return "managed" if HEADER in text.partition("\n")[0] else "yours"


def record(repo: Path, template: str, version: str, answers: Mapping[str, str]) -> None:
    """Write `.crm.json`: what the repo was made from, and each file's owner and SHA-256 as rendered."""
    files = {}
    for path in files_of(repo):
        content = (repo / path).read_bytes()
        owner = owner_of(path.as_posix(), content.decode("utf-8"))
        files[path.as_posix()] = {"owner": owner, "sha256": hashlib.sha256(content).hexdigest()}
    told = {"template": template, "version": version, "answers": dict(answers), "files": files}
    (repo / RECORD).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
