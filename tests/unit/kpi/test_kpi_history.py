"""What git tells: default branch, merges of a feature, squashes, versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from kpi_repo import KpiRepo, day

from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.history import History


@pytest.fixture
def repo(tmp_path: Path) -> KpiRepo:
    made = KpiRepo(tmp_path / "fraud")
    made.new(1)
    return made


def test_the_first_commit_of_the_record_is_the_first_day(repo: KpiRepo) -> None:
    repo.version(9, "0.2.0")
    history = History(repo.root)
    assert history.created == day(1)
    assert list(history.versions()) == [("0.1.0", day(1)), ("0.2.0", day(9))]


def test_a_version_counts_from_its_merge_and_not_from_its_branch(repo: KpiRepo) -> None:
    repo.git("switch", "-q", "-c", "upgrade")
    repo.version(5, "0.2.0")
    repo.git("switch", "-q", "main")
    assert list(History(repo.root).versions()) == [("0.1.0", day(1))]
    repo.merge("upgrade", 8)
    assert list(History(repo.root).versions()) == [("0.1.0", day(1)), ("0.2.0", day(8))]


def test_a_merge_is_found_by_the_name_of_its_branch_only(repo: KpiRepo) -> None:
    for name, at in (("feature/night-rentals-2", 3), ("feature/overnight-rentals", 4), ("feature/night_rentals", 5)):
        repo.branch(name, at)
        repo.merge(name, at)
    found = History(repo.root).merge_of("night-rentals", day(0))
    assert found is not None and found.at == day(5)


def test_after_a_squash_the_plain_commit_is_the_merge(repo: KpiRepo) -> None:
    repo.idea("night-rentals", 2)
    squashed = repo.commit(6, "Night rentals (#12)")
    history = History(repo.root)
    found = history.merge_of("night-rentals", day(2))
    assert found is not None and (found.commit, found.at) == (squashed, day(6))
    assert history.merge_of("night-rentals", day(7)) is None


def test_a_commit_that_notes_the_idea_is_no_merge_of_it(repo: KpiRepo) -> None:
    repo.idea("night-rentals", 2)
    assert History(repo.root).merge_of("night-rentals", day(2)) is None


def test_what_lies_on_a_branch_belongs_to_its_feature_until_it_is_merged(repo: KpiRepo) -> None:
    work = repo.branch("feature/night-rentals", 3)
    assert History(repo.root).in_work("night-rentals") == {work}
    merge = repo.merge("feature/night-rentals", 4)
    history = History(repo.root)
    assert history.in_work("night-rentals") == frozenset()
    assert history.brought_by(history.mainline[-1]) == {work, merge}


def test_a_later_commit_holds_the_merge_and_an_earlier_one_does_not(repo: KpiRepo) -> None:
    before = repo.commit(2, "before")
    repo.branch("feature/night-rentals", 3)
    merge, after = repo.merge("feature/night-rentals", 4), repo.commit(5, "after")
    holding = History(repo.root).holding(merge)
    assert holding == {merge, after} and before not in holding


def test_a_repo_in_a_folder_of_a_larger_one_has_its_own_history(tmp_path: Path) -> None:
    whole = KpiRepo(tmp_path / "whole")
    whole.new(0)
    inner = KpiRepo(whole.root / "models" / "inner", "inner")
    (inner.root / "config").mkdir(parents=True)
    inner.version(4, "0.3.0")
    history = History(inner.root)
    assert history.created == day(4)
    assert [one.at for one in history.mainline] == [day(4)] and list(history.versions()) == [("0.3.0", day(4))]


def test_a_folder_without_git_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no commit in git"):
        _ = History(tmp_path).branch
