"""The gate fails closed and says why."""

from __future__ import annotations

import math
from typing import Any

import pytest

from carrental_mlops.steps import Comparison, Evaluation, GateConfig, GateStep, Verdict


def verdict(metrics: dict[str, float], champion: Comparison | None = None, **rules: Any) -> Verdict:
    return GateStep(GateConfig(**rules)).run(evaluation=Evaluation(metrics, champion=champion or Comparison()))


def test_limits_that_hold_pass() -> None:
    found = verdict({"roc_auc": 0.9, "brier": 0.1}, minimum={"roc_auc": 0.9}, maximum={"brier": 0.1})
    assert found.passed and found.promote and found.reasons == () and len(found.checks) == 2


@pytest.mark.parametrize("metrics", [{}, {"roc_auc": math.nan}])
def test_a_missing_metric_fails_its_rule(metrics: dict[str, float]) -> None:
    found = verdict(metrics, minimum={"roc_auc": 0.5})
    assert not found.passed and not found.promote
    assert found.reasons == ("roc_auc was not measured; it must be at least 0.5",)


def test_both_limits_are_named_when_broken() -> None:
    found = verdict({"roc_auc": 0.7, "brier": 0.3}, minimum={"roc_auc": 0.8}, maximum={"brier": 0.2})
    assert found.reasons == ("roc_auc is 0.7; it must be at least 0.8", "brier is 0.3; it must be at most 0.2")


@pytest.mark.parametrize(
    ("ours", "passed", "promote"), [(0.60, True, True), (0.50, True, False), (0.492, True, False), (0.48, False, False)]
)
def test_no_worse_lets_pass_and_only_better_promotes(ours: float, passed: bool, promote: bool) -> None:
    found = verdict({"average_precision": ours}, Comparison("3", {"average_precision": 0.5}))
    assert (found.passed, found.promote) == (passed, promote)


def test_less_is_better_where_the_config_says_so() -> None:
    champion = Comparison("3", {"brier": 0.2, "average_precision": 0.1})
    assert not verdict(
        {"brier": 0.25, "average_precision": 0.2}, champion, no_worse_than_champion={"brier": 0.01}
    ).passed
    assert verdict({"brier": 0.15, "average_precision": 0.2}, champion, no_worse_than_champion={"brier": 0.01}).promote


def test_a_champion_that_could_not_be_measured_fails() -> None:
    found = verdict({"average_precision": 0.9}, Comparison("3", problem="column `x` is missing"))
    assert not found.passed and "column `x` is missing" in found.reasons[0]


def test_without_a_champion_the_comparison_asks_nothing() -> None:
    assert verdict({}).passed
