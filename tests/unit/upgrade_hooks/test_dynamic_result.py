"""What a run under a newer version adds to the report, and the process that is run: limits and results."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import trial
from carrental_mlops.upgrade.dynamic_check import Check, DynamicResult
from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport, Verdict

HOOK = "TrainStep.sample_weight"


def finding(verdict: Verdict) -> OverrideFinding:
    return OverrideFinding(verdict, "src/pay/steps.py:8", "Mine", HOOK, otherwise="who knows", mend="look")


def result(*checks: Check, tests: tuple[Check, ...] = ()) -> DynamicResult:
    return DynamicResult("0.2.0", "the repo's .venv", 3.0, checks=checks, tests=tests)


HELD = Check("Mine", HOOK, "keeps its contract")
WRONG = Check("Mine", HOOK, "answers the same twice", "answers otherwise", "src/pay/steps.py:9")


@pytest.mark.parametrize(
    ("verdict", "checks", "wanted"),
    [
        ("unproven", (HELD,), "look"),
        ("unproven", (HELD, WRONG), "break"),
        ("unproven", (), "unproven"),
        ("unproven", (Check("Other", HOOK, "keeps its contract"),), "unproven"),
        ("look", (WRONG,), "break"),
        ("fine", (WRONG,), "look"),
        ("break", (HELD,), "break"),
        ("break", (WRONG,), "break"),
    ],
)
def test_a_run_decides_what_the_sources_leave_open(verdict: Verdict, checks: tuple[Check, ...], wanted: str) -> None:
    assert result(*checks).judged(finding(verdict)).verdict == wanted


def test_a_failing_case_is_told_with_its_line_and_why() -> None:
    judged = result(WRONG).judged(finding("look"))
    assert "answers the same twice: answers otherwise" in judged.otherwise
    assert judged.mend == "src/pay/steps.py:9: mend the answer"


def test_a_failing_test_of_the_repo_blocks_unless_a_break_explains_it() -> None:
    failed = Check("tests/test_a.py::test_b", "", "passes", "assert 1 == 2", "tests/test_a.py:3")
    found = result(tests=(failed,))
    assert [(f.verdict, f.place) for f in found.beyond([finding("fine")])] == [("break", "tests/test_a.py:3")]
    assert found.beyond([finding("break")]) == []


def test_an_override_that_only_the_import_finds_is_told() -> None:
    seen = DynamicResult("0.2.0", "", 0.0, overrides=(("Made", HOOK, "src/pay/made.py:4"),))
    (told,) = seen.beyond([])
    assert (told.verdict, told.place, told.cls) == ("look", "src/pay/made.py:4", "Made")


def test_the_report_shows_what_was_run_what_failed_and_what_could_not_be_tried() -> None:
    told = OverrideReport("0.1.0", "0.2.0", (), result(HELD, WRONG)).markdown()
    assert "- contracts and cases: 1 held, 1 failed" in told
    assert "src/pay/steps.py:9" in told
    assert "was not run" not in told


def test_a_command_that_passes_its_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; sleep 60"]
    ends = time.monotonic() + 1.5
    code, _ = trial.run_limited(command, tmp_path, dict(os.environ), ends, tmp_path / "out")
    assert code is None
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not state.exists() or state.read_text().rpartition(") ")[2].startswith("Z"):
            return
        time.sleep(0.05)
    pytest.fail("the child is alive")


def test_results_of_pytest_are_read_with_the_line_in_the_repo(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef helper():\n    raise ValueError('no')\ndef test_a(): pass\n"
        "def test_b():\n    helper()\n@pytest.mark.skip\ndef test_c(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=out.xml"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, check=False)
    passed, failed = trial.junit_results(tmp_path / "out.xml")
    assert passed == ("test_some.py::test_a", "", "")
    assert failed == ("test_some.py::test_b", "test_some.py:3", "ValueError: no")


@pytest.mark.parametrize(
    ("requires", "lacking"),
    [
        (["numpy>=1", "not-there-at-all>=3; extra == 'serving'"], []),
        (["numpy>=99; extra == 'pipelines'"], ["numpy>=99"]),
        (["not-there-at-all>=3"], ["not-there-at-all>=3 (missing)"]),
        (["not-there-at-all; python_version < '3.0'"], []),
    ],
)
def test_an_environment_is_held_to_what_the_version_needs(
    requires: list[str], lacking: list[str], tmp_path: Path
) -> None:
    metadata = tmp_path / "METADATA"
    metadata.write_text("Name: carrental-mlops\n" + "".join(f"Requires-Dist: {line}\n" for line in requires))
    found = trial._lacking(Path(sys.executable), metadata, tmp_path, time.monotonic() + 60)
    assert [text[: len(lacking[0])] for text in found] == lacking if lacking else not found


def test_the_copy_holds_what_git_would_add_and_nothing_that_it_ignores(tmp_path: Path) -> None:
    root, new = tmp_path / "of-a-team", tmp_path / "new" / "carrental_mlops"
    root.mkdir()
    new.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for name in ("kept.py", "secret.env"):
        (root / name).write_text("x = 1\n")
    (root / ".gitignore").write_text("*.env\n")
    (root / "link.py").symlink_to("kept.py")
    (tmp_path / "trial").mkdir()
    made = trial.prepared(root, Material("0.2.0", new.parent), tmp_path / "trial", 30)
    assert sorted(p.name for p in made.repo.iterdir()) == [".gitignore", "kept.py", "link.py"]
    assert (made.repo / "link.py").is_symlink()
