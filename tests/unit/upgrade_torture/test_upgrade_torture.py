"""Each kind of edit against each kind of template change, as `tests/shared/torture_table.py` says."""

from __future__ import annotations

import pytest
from torture_notation import content, over, state_of
from torture_running import Ours
from torture_table import BASE, CASES, CHANGES, EDITS, LOOSE, TABLE
from torture_verdict import Result, verdict


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    return Ours(tmp_path_factory.mktemp("torture"))


@pytest.mark.parametrize(("change", "edit"), CASES, ids=[f"{edit} over {change}" for change, edit in CASES])
def test_an_edit_over_a_change_comes_out_as_the_table_says(ours: Ours, change: str, edit: str) -> None:
    assert ours.run(change, edit) == "passed"


def test_the_table_holds_sixty_distinct_pairs_and_every_kind() -> None:
    assert len(set(CASES)) >= 60
    assert {change for change, _ in CASES} == set(CHANGES)
    assert {edit for _, edit in CASES} == {*EDITS, *LOOSE}


def judged(change: str, edit: str, after: dict[str, str | None], *, failed: bool = False, shown: bool = False) -> str:
    before = state_of(over(BASE, EDITS[edit]))
    return verdict(change, edit, Result(before, state_of(over(BASE, after)), shown, b"", failed))


def test_a_lost_edit_is_seen() -> None:
    assert judged("line 3", "far line", CHANGES["line 3"]) == "edit lost"
    assert judged("line 3", "far line", CHANGES["line 3"], shown=True) == "edit lost"
    assert judged("renamed", "far line", CHANGES["renamed"]) == "edit lost"
    assert judged("deleted", "far line", CHANGES["deleted"]) == "edit lost"


def test_an_undone_edit_is_seen() -> None:
    assert judged("line 3", "executable", CHANGES["line 3"]) == "edit undone"
    assert judged("line 3", "end chopped", CHANGES["line 3"]) == "edit undone"
    assert judged("line 3", "deleted", CHANGES["line 3"]) == "edit undone"
    assert judged("executable", "CRLF", CHANGES["executable"]) == "edit undone"
    both = {"conf/mine.yaml": "a1..a12", "conf/a.yaml": "a1..a2 theirs3 a4..a12"}
    assert judged("line 3", "renamed", both) == "edit undone"


def test_a_lost_change_a_failure_midway_and_a_needless_question_are_seen() -> None:
    edited = EDITS["far line"]
    assert judged("line 3", "far line", edited) == "change lost"
    assert judged("line 3", "far line", edited, failed=True) == "refused"
    assert judged("executable", "line 3", {**EDITS["line 3"], "x": "raw y"}) == "change lost"
    half = {"conf/a.yaml": "a1..a9 ours10 a11..a12", "conf/c.yaml": "a1..a12"}
    assert judged("renamed", "far line", half, failed=True) == "half-merged"
    expected = TABLE["line 3"]["far line"]
    assert not isinstance(expected, str)
    assert judged("line 3", "far line", dict(expected), shown=True) == "asked"
    assert judged("line 3", "far line", dict(expected)) == "passed"
    assert judged("folder renamed", "file added", {**CHANGES["folder renamed"], **EDITS["file added"]}) == "otherwise"


def test_the_notation_says_what_a_file_holds() -> None:
    assert content("a1..a2 ours3 \\") == b"a1: all about a1\na2: all about a2\nours3: all about ours3"
    assert content("+x crlf a1") == b"a1: all about a1\r\n"
    assert content("latin a1") == b"a1: all about a1\xe9\n"
