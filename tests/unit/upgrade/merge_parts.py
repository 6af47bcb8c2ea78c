"""A repo of one version that a team edited, about to get the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from template_versions import LINES, Text, commit, git, repo_of, version

from carrental_mlops.upgrade.phases import Outcome, start
from carrental_mlops.upgrade.plan import plan

Made = tuple[Path, Callable[[], Outcome]]
NEW = LINES.replace("line 3\n", "line three\n")


def made(tmp_path: Path, old: Mapping[str, Text], new: Mapping[str, Text], edit: Callable[[Path], object]) -> Made:
    before, after = version(tmp_path, "1.0.0", old), version(tmp_path, "1.1.0", new)
    repo = repo_of(before, tmp_path / "repo")
    edit(repo)
    if git(repo, "status", "--porcelain"):
        commit(repo)
    return repo, lambda: start(plan(repo, before, after))


def replaced(path: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda repo: (repo / path).write_text((repo / path).read_text().replace(old, new))
