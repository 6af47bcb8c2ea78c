"""What was not shown counts as missed."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from carrental_mlops.loadtest.junit import junit
from carrental_mlops.loadtest.k6 import K6Run, Measured, read_summary
from carrental_mlops.loadtest.scenario import Limits, scenario_of
from carrental_mlops.loadtest.verdict import Verdict, judge

SCENARIO = scenario_of("smoke", Limits(p99_ms=100, rps=50, error_rate=0.01), 4)
GOOD = Measured(SCENARIO.steps[0], 200, 200, 0, 5.0, 8.0, 9.0, 12.0, 1.0)


def run(*measured: Measured, crossed: bool = False, problem: str | None = None) -> K6Run:
    return K6Run(measured, {"200": 200}, crossed, problem, "v1.1.0", 0.1)


def test_a_run_within_the_limits_passes() -> None:
    assert judge(SCENARIO, run(GOOD)).passed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p99_ms": 100.1}, "p99 100.1 ms, 100 ms allowed"),
        ({"p99_ms": float("nan")}, "p99 nan ms"),
        ({"good": 197}, "1.5 % of answers failed or missing, 1 % allowed"),
        ({"dropped": 1}, "1 requests were due and not sent"),
        ({"sent": 150, "good": 150}, "37.5 requests/s sent of 50 planned"),
        ({"sent": 0, "good": 0}, "0.0 requests/s sent of 50 planned"),
        ({"sent": 99, "good": 99}, "99 good answers, 100 needed"),
        ({"late_p99_ms": 21.0}, "too busy to say"),
        ({"late_p99_ms": float("nan")}, "too busy to say"),
    ],
)
def test_one_limit_that_is_missed_fails_and_says_so(change: dict[str, float], reason: str) -> None:
    verdict = judge(SCENARIO, run(replace(GOOD, **change)))  # type: ignore[arg-type]
    assert not verdict.passed
    assert any(reason in said for said in verdict.reasons())


def test_nothing_measured_fails() -> None:
    assert judge(SCENARIO, run()).reasons() == ["step_1: nothing was measured"]
    assert not Verdict(()).passed


def test_good_figures_of_a_k6_that_did_not_end_well_fail() -> None:
    assert judge(SCENARIO, run(GOOD, problem="k6 was killed by signal 9")).reasons() == [
        "run: k6 was killed by signal 9"
    ]


def test_a_threshold_that_only_k6_saw_crossed_fails() -> None:
    assert not judge(SCENARIO, run(GOOD, crossed=True)).passed


def test_a_model_that_changed_meanwhile_fails() -> None:
    assert not judge(SCENARIO, run(GOOD), same_model=False).passed


def test_steps_beyond_the_promise_are_no_part_of_the_verdict() -> None:
    scenario = scenario_of("stress", Limits(100, 50, 0.01), 60)
    assert [(s.rps, s.judged) for s in scenario.steps] == [
        (25, True), (50, True), (75, False), (100, False), (150, False), (200, False),
    ]  # fmt: skip
    measured = [Measured(s, s.rps * 10, s.rps * 10, 0, 5, 8, 9 if s.judged else 900, 12, 1) for s in scenario.steps]
    assert judge(scenario, run(*measured)).passed
    assert not judge(scenario, run(*measured[1:])).passed


@pytest.mark.parametrize("document", [None, {}, {"metrics": {}}, [], {"metrics": None}, "text"])
def test_a_summary_that_is_none_measures_nothing(document: object) -> None:
    measured, statuses, problem = read_summary(document, SCENARIO)
    assert (measured, statuses) == ((), {})
    assert problem


def test_junit_holds_each_check_as_a_case() -> None:
    verdict = judge(SCENARIO, run(replace(GOOD, p99_ms=150), problem='a "quoted" <problem> & more'))
    top = ElementTree.fromstring(junit(verdict, "payments.smoke", 4))
    assert top.tag == "testsuites"
    assert [s.get("name") for s in top] == ["payments.smoke.run", "payments.smoke.step_1"]
    assert len(list(top.iter("testcase"))) == int(top.get("tests", "")) == len(verdict.checks)
    assert len(list(top.iter("failure"))) == int(top.get("failures", "")) == 2
    assert next(top.iter("failure")).text == 'a "quoted" <problem> & more'
