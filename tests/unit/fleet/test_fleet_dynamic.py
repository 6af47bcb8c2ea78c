"""Which repos of a campaign run under the new version, what of them runs, and what that makes of the merge request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_repo import crm
from template_versions import commit, git

from carrental_mlops.fleet.branch import Upgrade
from carrental_mlops.fleet.campaign_state import Entry
from carrental_mlops.fleet.campaign_text import line, merge_request, run_time
from carrental_mlops.fleet.dynamic import Trials
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import codemod
from carrental_mlops.upgrade.dynamic_check import Check, DynamicResult
from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport, Verdict
from carrental_mlops.upgrade.phases import Outcome

HOOK = "TrainStep.sample_weight"
NEW = Material("2.0.0", Path("unread"))
HELD = Check("Mine", HOOK, "keeps its contract")
FAILED = Check("tests/test_mine.py::test_mine", "", "passes", "assert 1 == 2", "tests/test_mine.py:3")


def upgrade(*findings: OverrideFinding, head: str = "HEAD", rewritten: tuple[str, ...] = ()) -> Upgrade:
    outcome = Outcome("1.0.0", "2.0.0", ("Makefile",), (), (), (), ())
    return Upgrade(outcome, OverrideReport("1.0.0", "2.0.0", findings), head, rewritten)


def finding(verdict: Verdict, mend: str = "") -> OverrideFinding:
    return OverrideFinding(verdict, "src/pay/steps.py:5", "Mine", HOOK, mend=mend)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repo whose second commit holds `new.txt`, with work in its tree that no commit has."""
    made = tmp_path / "pay"
    made.mkdir()
    git(made, "init", "--quiet")
    (made / "old.txt").write_text("old\n")
    commit(made)
    (made / "new.txt").write_text("new\n")
    commit(made)
    git(made, "update-ref", "refs/heads/made", "HEAD")
    git(made, "reset", "--quiet", "--hard", "HEAD^")
    (made / ".venv" / "bin").mkdir(parents=True)
    (made / "mine.txt").write_text("not committed\n")
    return made


class Ran:
    """Notes what it is given to run, and answers."""

    def __init__(self, *checks: Check) -> None:
        self.files: list[list[str]] = []
        self.answer = DynamicResult("2.0.0", "the environment of crm", 12.3, checks=checks)

    def __call__(self, repo: Path, new: Material) -> DynamicResult:
        self.files.append(sorted(path.name for path in repo.iterdir()))
        return self.answer


def test_what_runs_is_what_would_be_merged_and_not_the_work_tree(root: Path) -> None:
    ran = Ran(HELD)
    before = git(root, "status", "--porcelain")
    Trials(None, run_it=ran).tried(root, upgrade(finding("unproven"), head="made"), NEW)
    assert ran.files == [[".venv", "new.txt", "old.txt"]]
    assert git(root, "status", "--porcelain") == before and (root / "mine.txt").is_file()


def test_a_case_that_held_proves_an_override_and_the_merge_request_says_so_with_its_time(root: Path) -> None:
    made = upgrade(finding("unproven"))
    assert [one.verdict for one in made.broken] == ["unproven"]
    tried = Trials(1, run_it=Ran(HELD)).tried(root, made, NEW)
    text = merge_request(tried, "crm-upgrade/2.0.0")
    assert tried.broken == () and [one.verdict for one in tried.overrides.findings] == ["look"]
    assert "### Run under 2.0.0" in text and "In the environment of crm, 12 s." in text
    assert "contracts and cases: 1 held, 0 failed" in text


@pytest.mark.parametrize("mended", [False, True])
def test_a_test_of_the_repo_that_fails_makes_a_draft_beside_what_the_codemod_mends_too(
    root: Path, mended: bool
) -> None:
    known = finding("break", codemod.COMMAND) if mended else finding("look")
    tried = Trials(1, run_it=replace_tests(Ran(), FAILED)).tried(
        root, upgrade(known, rewritten=("src/pay/steps.py",) if mended else ()), NEW
    )
    assert [one.place for one in tried.broken] == ["tests/test_mine.py:3"]
    assert "assert 1 == 2" in merge_request(tried, "crm-upgrade/2.0.0")


def replace_tests(ran: Ran, *tests: Check) -> Ran:
    ran.answer = replace(ran.answer, tests=tests)
    return ran


def test_so_many_repos_run_and_those_of_earlier_calls_count(root: Path) -> None:
    for most, before, expected in ((2, 0, 2), (2, 1, 1), (2, 5, 0), (0, 0, 0), (None, 9, 4)):
        ran = Ran(HELD)
        trials = Trials(most, before, ran)
        for _ in range(4):
            trials.tried(root, upgrade(finding("fine")), NEW)
        assert len(ran.files) == expected, (most, before)


@pytest.mark.parametrize(
    "made",
    [
        upgrade(),
        upgrade(finding("break")),
        upgrade(finding("look"), finding("break")),
        upgrade(finding("break", codemod.COMMAND), head="", rewritten=("src/pay/steps.py",)),
    ],
    ids=["no override", "breaks", "one breaks", "a dry run has no rewritten commit"],
)
def test_what_a_run_could_say_nothing_of_is_not_run(root: Path, made: Upgrade) -> None:
    ran = Ran(HELD)
    assert Trials(None, run_it=ran).tried(root, made, NEW) is made and ran.files == []


def test_the_table_says_who_ran_and_how_long() -> None:
    entries = [Entry("a", 0, step="opened", verdict="clean", ran_s=12.3), Entry("b", 1), Entry("c", 1, ran_s=30.0)]
    assert line(entries[0]) == "clean, opened, ran 12 s" and "ran" not in line(entries[1])
    assert run_time("2.0.0", entries) == "run under 2.0.0: 2 repos, 42 s in all" and run_time("2.0.0", []) == ""


@pytest.mark.parametrize("given", ["-1", "some", "1.5"])
def test_a_number_that_is_none_is_refused(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm("fleet", "upgrade", "--fleet", str(tmp_path), f"--dynamic={given}") == 1
    assert "--dynamic" in capsys.readouterr().err
