"""Which folders below a folder are model repos."""

from __future__ import annotations

from pathlib import Path

import pytest

from carrental_mlops.scaffold.repos import repos_below

MARK = "config/crm.yaml"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("pay", "pay/inner", "fees", "a/b/near", "1/2/3/4/far", "1/2/3/4/5/too-far", ".hidden/lost"):
        (tmp_path / name / "config").mkdir(parents=True)
        (tmp_path / name / MARK).touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "fees")
    return tmp_path


def _names(place: Path, **asked: int) -> list[str]:
    return [path.relative_to(place).as_posix() for path in repos_below(place, MARK, **asked)]


def test_repos_are_found_by_their_mark_and_not_inside_of_another(place: Path) -> None:
    assert _names(place) == ["a/b/near", "fees", "pay"]
    assert _names(place / "pay") == ["."]
    assert list(repos_below(place)) == []


def test_how_deep_and_through_links_is_the_callers_word(place: Path) -> None:
    assert "1/2/3/4/far" in _names(place, deepest=5)
    assert _names(place, deepest=1, links=True) == ["fees", "linked", "pay"]


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert list(repos_below(tmp_path / "nowhere")) == []
