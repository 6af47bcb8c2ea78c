"""A fleet of small repos on an older version, as folders or as bare remotes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from template_versions import LINES, MANAGED, commit, git, repo_of, version

from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.versions import Material

CHANGELOG = "# Changelog\n\n## 2.0.0 - 2026-03-01\n- newer\n\n## [1.1.0] - 2026-02-01\n\n## 1.0.0 - 2026-01-01\n"
FIXED = MANAGED.replace("line 3\n", "line 3 mended\n")


def two_versions(folder: Path) -> tuple[Material, Material, Versions]:
    """1.0.0 and 2.0.0 of a template `small`, and what a fleet keeps of them."""
    files = {"Makefile": MANAGED, "README.md": LINES, "gone.txt": "# Managed by crm.\nold\n"}
    old = version(folder, "1.0.0", files)
    new = version(folder, "2.0.0", {"Makefile": FIXED, "README.md": LINES, "new.txt": "# Managed by crm.\nnew\n"})
    for one in (old, new):
        for path, text in (("__init__.py", ""), ("core/__init__.py", ""), ("_assets/CHANGELOG.md", CHANGELOG)):
            (one.package / path).parent.mkdir(parents=True, exist_ok=True)
            (one.package / path).write_text(text)
    known = {one.version: one for one in (old, new)}
    return old, new, Versions(known.__getitem__)


def fleet_of(folder: Path, old: Material, *names: str) -> Path:
    """A folder with one repo of each name; `…-conflict` edits the very line that the newer version changes."""
    for name in names:
        root = repo_of(old, folder / name, answers={"name": name})
        (root / "mine.txt").write_text(f"{name}\n")
        if name.endswith("-conflict"):
            text = (root / "Makefile").read_text()
            (root / "Makefile").write_text(text.replace("line 3\n", "line 3 of ours\n"))
        commit(root)
    return folder


def bare(root: Path, place: Path) -> Path:
    """A bare remote of a repo."""
    subprocess.run(["git", "clone", "--quiet", "--bare", str(root), str(place)], check=True, capture_output=True)
    return place


def shown(repo: Path, commit: str, path: str) -> str:
    return git(repo, "show", f"{commit}:{path}")
