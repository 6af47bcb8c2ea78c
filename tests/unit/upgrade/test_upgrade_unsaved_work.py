# ruff: noqa: E501 - a case a line
"""Work that no commit holds is never lost: an upgrade refuses it, or puts it away and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from merge_parts import NEW, made, replaced
from template_versions import LINES, commit, git, repo_of, snapshot, version

from carrental_mlops.errors import ConfigError
from carrental_mlops.upgrade.phases import abort, start
from carrental_mlops.upgrade.plan import plan


@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_that_git_does_not_hold_is_not_overwritten(ignored: bool, tmp_path: Path) -> None:
    old = {".gitignore": "x.txt\nd\n" if ignored else "\n"}
    repo, go = made(tmp_path, old, {**old, "x.txt": "theirs\n", "d/y.txt": "y\n"}, lambda r: None)
    for place in ("x.txt", "d"):
        (repo / place).write_text("mine\n")
        before = snapshot(repo)
        with pytest.raises(ConfigError, match=f"{place} is in the way.*\nFix: .*mv {place}"):
            go()
        assert snapshot(repo) == before
        (repo / place).unlink()
    (repo / "x.txt").mkdir()
    (repo / "x.txt" / "inner").write_text("mine\n")
    with pytest.raises(ConfigError, match=r"x\.txt/inner is in the way"):
        go()


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_git_was_told_not_to_see_is_not_overwritten(flag: str, tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES}, {"a.txt": NEW}, lambda r: None)
    git(repo, "update-index", flag, "a.txt")
    (repo / "a.txt").write_text("mine\n")
    with pytest.raises(ConfigError, match=r"a\.txt is not what git would bring back"):
        go()
    assert (repo / "a.txt").read_text() == "mine\n"


def test_what_a_filter_keeps_out_of_git_is_not_overwritten(tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES}, {"a.txt": NEW}, lambda r: (r / ".gitattributes").write_text("*.txt filter=strip\n"))  # fmt: skip
    git(repo, "config", "filter.strip.clean", "sed /output/d")
    (repo / "a.txt").write_text(LINES + "output of an hour\n")
    git(repo, "add", "a.txt")
    assert git(repo, "status", "--porcelain") == ""
    with pytest.raises(ConfigError, match=r"a\.txt is not what git would bring back"):
        go()
    assert (repo / "a.txt").read_text().endswith("output of an hour\n")


def test_uncommitted_work_is_refused_or_put_away_and_back(tmp_path: Path) -> None:
    before, after = version(tmp_path, "1.0.0", {"a.txt": LINES, "b.txt": "b\n"}), version(tmp_path, "1.1.0", {"a.txt": NEW, "b.txt": "b\n"})  # fmt: skip
    repo = repo_of(before, tmp_path / "repo")
    (repo / "b.txt").write_text("b\nunstaged\n")
    (repo / "c.txt").write_text("staged\n")
    git(repo, "add", "c.txt")
    with pytest.raises(
        ConfigError, match=r"uncommitted work in b\.txt, c\.txt\nFix: commit it, or crm upgrade --stash"
    ):
        start(plan(repo, before, after))
    status = git(repo, "status", "--porcelain")
    done = start(plan(repo, before, after), stash=True)
    assert done.commit and done.stash == ""
    assert (repo / "a.txt").read_text() == NEW
    assert git(repo, "status", "--porcelain") == status
    assert git(repo, "stash", "list") == ""


def test_stashed_work_that_no_longer_fits_stays_in_the_stash(tmp_path: Path) -> None:
    before, after = version(tmp_path, "1.0.0", {"a.txt": LINES}), version(tmp_path, "1.1.0", {"a.txt": NEW})
    repo = repo_of(before, tmp_path / "repo")
    replaced("a.txt", "line 3\n", "mine\n")(repo)
    done = start(plan(repo, before, after), stash=True)
    assert done.commit and done.stash
    assert "mine" in git(repo, "show", f"{done.stash}:a.txt")
    assert done.stash in git(repo, "stash", "list", "--format=%H")


def test_an_abort_gives_stashed_work_back(tmp_path: Path) -> None:
    before, after = version(tmp_path, "1.0.0", {"a.txt": LINES, "b.txt": "b\n"}), version(tmp_path, "1.1.0", {"a.txt": NEW, "b.txt": "b\n"})  # fmt: skip
    repo = repo_of(before, tmp_path / "repo")
    replaced("a.txt", "line 3\n", "mine\n")(repo)
    commit(repo)
    (repo / "b.txt").write_text("b\nunstaged\n")
    there = snapshot(repo)
    assert start(plan(repo, before, after), stash=True).unmerged == ("a.txt",)
    abort(repo)
    assert snapshot(repo) == there


def test_a_merge_in_progress_is_refused(tmp_path: Path) -> None:
    repo, go = made(tmp_path, {"a.txt": LINES}, {"a.txt": NEW}, lambda r: None)
    (repo / ".git" / "MERGE_HEAD").write_text(git(repo, "rev-parse", "HEAD"))
    with pytest.raises(ConfigError, match="in the middle of something"):
        go()
