"""Which code runs: the package, the template that the repo came from, its git commit."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path


def code_tags(root: Path) -> dict[str, str]:
    """Package version, template and its version, git commit and whether the tree differs from it; known ones only."""
    tags = {"package_version": importlib.metadata.version("carrental-mlops")}
    answers = root / ".crm.json"
    if answers.is_file():
        recorded = json.loads(answers.read_text(encoding="utf-8"))
        tags |= {
            k: str(recorded[v])
            for k, v in {"template": "template", "template_version": "version"}.items()
            if v in recorded
        }
    commit = _git(root, "rev-parse", "HEAD")
    if commit is not None:
        tags |= {"git_commit": commit, "git_dirty": str(bool(_git(root, "status", "--porcelain"))).lower()}
    return tags


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def git_user(root: Path) -> str | None:
    """Mail address, else name, of git's user in `root`."""
    return _git(root, "config", "user.email") or _git(root, "config", "user.name") or None
