"""Whose each file of a model repo is, and the record of it that `crm upgrade` and `crm check` read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from carrental_mlops.errors import ConfigError

if TYPE_CHECKING:
    from carrental_mlops.scaffold.rendering import Rendered

Owner = Literal["managed", "yours", "merged"]
RECORD = ".crm.json"
HEADER = "Managed by crm"
_MERGED = ("pyproject.toml", "requirements/")


def owner_of(path: str, content: bytes) -> Owner:
    """Who changes a file.

    Args:
        path: relative to the repo, with `/`.
        content: a managed file says so in its first line.

    Returns:
        `managed` (the package), `merged` (both) or `yours` (the team).
    """
    if path.startswith(_MERGED):
        return "merged"
    return "managed" if HEADER.encode() in content.partition(b"\n")[0] else "yours"


@dataclass(frozen=True)
class TemplatePackage:
    """The package of a team that a template comes from."""

    name: str
    """Of the distribution."""
    version: str


def record(
    files: Mapping[str, Rendered],
    template: str,
    version: str,
    answers: Mapping[str, str],
    package: TemplatePackage | None = None,
) -> bytes:
    """The text of `.crm.json`: what the repo was made from; of each file owner, SHA-256 and whether it may be run."""
    told = {
        path: {
            "owner": owner_of(path, file.content),
            "sha256": hashlib.sha256(file.content).hexdigest(),
            **({"executable": True} if file.executable else {}),
        }
        for path, file in files.items()
    }
    whole: dict[str, object] = {"template": template, "version": version, "answers": dict(answers), "files": told}
    if package is not None:
        whole["package"] = {"name": package.name, "version": package.version}
    return (json.dumps(whole, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Recorded:
    """What `.crm.json` says."""

    template: str
    version: str
    answers: dict[str, str]
    owners: dict[str, Owner]
    """Of each file that the template made, as it was then."""
    package: TemplatePackage | None = None
    """None where the template is one of this package."""


def read_record(root: Path) -> Recorded:
    """What the repo was made from.

    Raises:
        ConfigError: it has no `.crm.json`, or one that we did not write.
    """
    path = root / RECORD
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{root} has no {RECORD}, so no template made it", "cd into a repo that crm new made"
        ) from error
    return parse_record(content, str(path))


def parse_record(content: bytes, name: str = RECORD) -> Recorded:
    """What a `.crm.json` says; `name` stands in the error. Raises as `read_record` does."""
    try:
        told = json.loads(content)
        owners = {path: entry["owner"] for path, entry in told["files"].items()}
        made = told.get("package")
        package = TemplatePackage(str(made["name"]), str(made["version"])) if made else None
        return Recorded(str(told["template"]), str(told["version"]), dict(told["answers"]), owners, package)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name} does not hold what crm writes: {error!r}", f"git checkout -- {RECORD}") from error
