"""A campaign's commit where the merge is in conflict: the team's text stays, whatever git would have moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from template_versions import MANAGED, commit, git, repo_of, version

from carrental_mlops.fleet.branch import Upgrade, prepare
from carrental_mlops.fleet.versions import Versions

_MINE, _NEW = (MANAGED.replace("line 3\n", said) for said in ("mine\n", "line three\n"))
Files = Mapping[str, str]


def _upgraded(folder: Path, old: Files, new: Files, edit: Callable[[Path], object]) -> tuple[Upgrade, dict[str, str]]:
    """The upgrade, and path to text of its commit."""
    before, after = version(folder, "1.0.0", old), version(folder, "1.1.0", new)
    repo = repo_of(before, folder / "repo")
    edit(repo)
    commit(repo)
    made = prepare(repo, after, Versions({"1.0.0": before, "1.1.0": after}.__getitem__), "Ann <ann@example.com>")
    assert made is not None
    git(repo, "fsck", "--strict", "--no-dangling")
    paths = git(repo, "ls-tree", "-r", "-z", "--name-only", made.commit).split("\0")[:-1]
    return made, {path: git(repo, "show", f"{made.commit}:{path}") for path in paths if not path.startswith(".crm")}


def _renamed_by_the_team(repo: Path) -> None:
    (repo / "a.txt").unlink()
    (repo / "mine.txt").write_text(_MINE)


def _folder_by_the_team(repo: Path) -> None:
    (repo / "x").mkdir()
    (repo / "x" / "y").write_text("team\n")


@pytest.mark.parametrize(
    ("old", "new", "edit", "result"),
    [
        ({"a.txt": MANAGED}, {"dir/b.txt": _NEW}, lambda r: (r / "a.txt").write_text(_MINE), {"dir/b.txt": _MINE}),
        ({"a.txt": MANAGED}, {"a.txt": _NEW}, _renamed_by_the_team, {"mine.txt": _MINE}),
        ({"a.txt": MANAGED}, {}, lambda r: (r / "a.txt").write_text(_MINE), {"a.txt": _MINE}),
        ({"x": "x\n"}, {"x/y": "new\n", "x/z": "new\n"}, lambda r: (r / "x").write_text("team\n"), {"x": "team\n"}),
        ({}, {"x/y": "new\n"}, lambda r: (r / "x").write_text("team\n"), {"x": "team\n"}),
        ({}, {"x": "new\n"}, _folder_by_the_team, {"x/y": "team\n"}),
    ],
    ids=[
        "renamed-by-us",
        "renamed-by-them",
        "deleted",
        "folder-for-a-file",
        "folder-where-a-file-is",
        "file-for-theirs",
    ],
)
def test_the_teams_text_is_in_the_commit_of_a_campaign_whole(
    tmp_path: Path, old: Files, new: Files, edit: Callable[[Path], object], result: Files
) -> None:
    made, found = _upgraded(tmp_path, {**old, "k": "k\n"}, {**new, "k": "K\n"}, edit)
    assert found == {**result, "k": "K\n"}
    assert made.outcome.unmerged


def test_a_renamed_file_in_conflict_takes_the_new_place_and_the_ledger_the_hunk(tmp_path: Path) -> None:
    made, _ = _upgraded(
        tmp_path, {"a.txt": MANAGED}, {"dir/b.txt": _NEW}, lambda repo: (repo / "a.txt").write_text(_MINE)
    )
    [entry] = made.outcome.ledger
    assert entry.path == "dir/b.txt"
    assert "-line 3\n+line three\n" in entry.patch


def test_a_waiver_follows_the_file_that_the_template_renamed(tmp_path: Path) -> None:
    def waive(repo: Path) -> None:
        (repo / "config").mkdir(exist_ok=True)
        (repo / "config" / "waivers.yaml").write_text("- {code: CRM201, path: a.txt}\n")

    _, files = _upgraded(tmp_path, {"a.txt": MANAGED}, {"dir/b.txt": MANAGED}, waive)
    assert files["config/waivers.yaml"] == "- {code: CRM201, path: dir/b.txt}\n"
