"""An upgrade killed at every step, and then mended; an abort too."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_upgrade import Case, abort_or_done, every_kill, killed_at, loose, whole
from template_versions import git, snapshot

from carrental_mlops.errors import ConfigError
from carrental_mlops.upgrade.journal import JournalFile
from carrental_mlops.upgrade.phases import abort, proceed
from carrental_mlops.upgrade.plan import open_git

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("dirty", [False, True])
@pytest.mark.parametrize("mend", [abort_or_done, proceed])
def test_a_kill_at_any_step_is_mended(mend: object, dirty: bool, tmp_path: Path) -> None:
    case = Case(tmp_path, dirty=dirty)
    kills = every_kill(case, range(1, 1000), mend, [case.before, whole(case)])  # type: ignore[arg-type]
    assert kills > 60


def test_a_kill_on_the_way_to_conflicts_is_mended(tmp_path: Path) -> None:
    case = Case(tmp_path, conflict=True)
    assert every_kill(case, range(1, 1000), abort, [case.before]) > 50


def test_a_killed_abort_is_aborted_again(tmp_path: Path) -> None:
    case = Case(tmp_path, conflict=True, dirty=True)
    for step in range(1, 1000):
        case.fresh()
        case.go()
        killed = killed_at(step, lambda: abort(case.repo))
        case.mended(abort)
        assert snapshot(case.repo) == case.before
        if not killed:
            break
    assert step > 20


def test_what_somebody_writes_after_a_kill_is_not_lost(tmp_path: Path) -> None:
    case = Case(tmp_path)
    tried = 0
    for step in range(1, 1000, 2):
        case.fresh()
        if not killed_at(step, case.go):
            break
        if JournalFile(open_git(case.repo)).read() is None:
            continue
        tried += 1
        (case.repo / "a.txt").write_text("an hour of work\n")
        try:
            abort(case.repo)
        except ConfigError:
            proceed(case.repo)
        texts = [(case.repo / "a.txt").read_text(), *(git(case.repo, "cat-file", "blob", o) for o in loose(case.repo))]
        assert "an hour of work\n" in texts
    assert tried > 10
