"""The comment on a merge request, from the record of a run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from small_repo import crm

from carrental_mlops.data.measures.curves import Curve
from carrental_mlops.data.measures.evaluation import Comparison, Evaluation, Interval
from carrental_mlops.deploy.ci.comment import LONGEST, MARK, comment, shortened
from carrental_mlops.deploy.ci.run_record import RunRecord, record_of
from carrental_mlops.errors import DataError, ExitCode

STRAIGHT, BENT = Curve((0.0, 1.0), (0.0, 1.0)), Curve((0.0, 0.5, 1.0), (0.0, 0.8, 1.0))


def a_record(refused: str | None = None, champion: Comparison | None = None) -> RunRecord:
    against = champion or Comparison("7", {"roc_auc": 0.8}, {"roc_auc": Interval(0.01, 0.19)}, curves={"roc": STRAIGHT})
    evaluation = Evaluation(
        {"roc_auc": 0.9, "recall": math.nan}, rows=1000, positives=40, curves={"roc": BENT}, champion=against
    )
    return record_of("training", "a1b2", evaluation, ("met: roc_auc is 0.9", "not met: recall <b>"), refused)


def test_it_shows_the_candidate_beside_the_champion_with_the_interval_of_the_difference() -> None:
    text = comment(a_record(), {})
    assert text.startswith(MARK)
    assert "| roc_auc | 0.9 | 0.8 | +0.1 | +0.01 to +0.19 |" in text
    assert "| recall | not measured | not measured | not measured |  |" in text
    assert "champion 7" in text


def test_both_curves_are_drawn_at_evenly_spaced_places() -> None:
    chart = comment(a_record(), {}).partition("```mermaid")[2].partition("```")[0]
    ours, theirs = ([float(v) for v in line.partition("[")[2].rstrip("]").split(",")]
                    for line in chart.splitlines() if line.strip().startswith("line"))  # fmt: skip
    assert theirs == [n / 20 for n in range(21)]
    assert (ours[0], ours[10], ours[20]) == (0.0, 0.8, 1.0)


def test_with_no_champion_the_candidate_stands_alone() -> None:
    text = comment(a_record(champion=Comparison()), {})
    assert "| metric | candidate |" in text and "no champion" in text
    assert text.partition("```mermaid")[2].count("    line [") == 1


def test_a_champion_that_could_not_be_measured_says_why() -> None:
    text = comment(a_record(champion=Comparison("7", problem="its features are gone")), {})
    assert "The champion could not be measured: its features are gone" in text


def test_what_is_not_met_comes_first_and_names_of_the_team_are_no_markup() -> None:
    text = comment(a_record("recall <script> `x`"), {})
    assert "**Gate: refused.** recall &lt;script> \\`x\\`" in text
    assert text.index("not met: recall &lt;b>") < text.index("met: roc\\_auc")


def test_a_training_that_did_not_end_and_a_diff_of_nothing_are_told() -> None:
    text = comment(None, {"diff-staging": "memory limit 1Gi to 2Gi", "diff-prod": " \n"})
    assert "did not come to its end" in text
    assert "### diff-staging\n\nmemory limit 1Gi to 2Gi" in text
    assert "### diff-prod\n\nNothing would change." in text


def test_it_is_never_longer_than_the_platforms_take() -> None:
    text = comment(a_record(), {"diff-staging": "x" * 100_000})
    assert LONGEST - 200 < len(text) <= LONGEST and text.endswith("stands in the files of the job.\n")


def test_a_cut_closes_the_code_fence_that_it_falls_into() -> None:
    text = shortened("# Diff\n```diff\n" + "+ a line\n" * LONGEST + "```\n", "Cut.")
    assert len(text) <= LONGEST and text.endswith("\n+ a line\n```\n\nCut.\n")
    assert shortened("```\nshort\n```\n", "Cut.") == "```\nshort\n```\n"


def test_a_record_is_read_as_it_was_written_also_what_was_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    a_record().write(path)
    read = RunRecord.read(path)
    assert math.isnan(read.candidate.metrics["recall"])
    assert comment(read, {}) == comment(a_record(), {})
    path.write_text("{")
    with pytest.raises(DataError, match="no record of a run"):
        RunRecord.read(path)


def test_the_gates_no_ends_the_job_and_its_yes_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    a_record("recall is too low").write(path)
    assert crm("report", "gate", str(path)) == ExitCode.REFUSED
    a_record().write(path)
    assert crm("report", "gate", str(path)) == ExitCode.WELL
    assert crm("report", "comment", "--run", str(path)) == ExitCode.WELL
    assert MARK in capsys.readouterr().out
    assert crm("report", "gate", str(tmp_path / "absent.json")) == ExitCode.YOURS
