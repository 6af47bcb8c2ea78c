"""Refuses a change of the package that CHANGELOG.md does not tell, and a tag that is not its newest version.

python .ci/changelog.py        # in CI, or by hand before a merge request: compares with origin/main
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TOLD = "CHANGELOG.md"
NOTICED = ("src/", "templates/", "steps/", "helm/", "terraform/", "requirements/")
"""What a user of the package gets."""
_SECTION = re.compile(r"^## (\S+) \((unreleased|\d{4}-\d{2}-\d{2})\)$", re.M)


def untold(changed: Sequence[str]) -> str | None:
    """Why `changed` files are refused, or None."""
    noticed = [name for name in changed if name.startswith(NOTICED)]
    if noticed and TOLD not in changed:
        return f"{noticed[0]} and {len(noticed) - 1} more changed, {TOLD} did not. Fix: say there what a user notices"
    return None


def unreleased(tag: str, version: str, text: str) -> str | None:
    """Why `tag` is no release of the package at `version`, whose changelog is `text`; or None."""
    if tag != f"v{version}":
        return f"tag {tag} is not v{version}, the version of the package. Fix: tag v{version}, or raise __version__"
    newest = _SECTION.search(text)
    if newest is None or newest[1] != version or newest[2] == "unreleased":
        found = newest[0] if newest else "no section"
        return f"{TOLD} begins with `{found}`. Fix: `## {version} (<date>)`"
    return None


def base(env: Mapping[str, str]) -> str:
    """What a merge request is compared with; on a branch the commit before."""
    if commit := env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"):
        return commit
    if target := env.get("GITHUB_BASE_REF"):
        return f"origin/{target}"
    return "HEAD~1" if env.get("CI") else "origin/main"


def main() -> str | None:
    root = Path(__file__).resolve().parents[1]
    tag = os.environ.get("CI_COMMIT_TAG") or (
        os.environ.get("GITHUB_REF_NAME") if os.environ.get("GITHUB_REF_TYPE") == "tag" else None
    )
    if tag:
        version = re.search(r'__version__ = "(.+)"', (root / "src/carrental_mlops/__init__.py").read_text())
        return unreleased(tag, version[1] if version else "", (root / TOLD).read_text())
    compared = ["git", "-C", str(root), "diff", "--name-only", f"{base(os.environ)}...HEAD"]
    done = subprocess.run(compared, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"{' '.join(compared[3:])} failed: {done.stderr.strip()}. Fix: fetch the whole history"
    return untold(done.stdout.splitlines())


if __name__ == "__main__":
    sys.exit(main())
