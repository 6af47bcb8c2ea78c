"""Profiles become steps of constant arrival rates."""

from __future__ import annotations

import json

import pytest

from carrental_mlops.config.models import Slo
from carrental_mlops.errors import ConfigError
from carrental_mlops.loadtest.k6 import script
from carrental_mlops.loadtest.scenario import MIN_SAMPLES, Limits, scenario_of, seconds_of
from carrental_mlops.loadtest.target import Target

PROFILES = ("smoke", "load", "stress", "soak", "spike")
TARGET = Target("http://127.0.0.1:8080", "payments", "3", "d" * 64, ())


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rps", [1, 10, 200, 5_000])
def test_each_judged_step_lasts_long_enough_for_a_p99(profile: str, rps: float) -> None:
    scenario = scenario_of(profile, Limits(100, rps, 0.01))  # type: ignore[arg-type]
    judged = [step for step in scenario.steps if step.judged]
    assert judged
    assert all(step.rps * step.seconds >= MIN_SAMPLES for step in judged)
    assert all(step.rps <= rps for step in judged)


@pytest.mark.parametrize("profile", ["load", "stress", "spike"])
def test_these_profiles_reach_the_promised_rate(profile: str) -> None:
    assert scenario_of(profile, Limits(100, 200, 0.01)).most_rps == 200  # type: ignore[arg-type]


def test_a_smoke_is_short() -> None:
    scenario = scenario_of("smoke", Limits(100, 5_000, 0.01))
    assert (scenario.steps[0].rps, scenario.steps[0].seconds, scenario.seconds) == (50, 3, 4)


def test_steps_follow_one_another_and_share_the_duration() -> None:
    scenario = scenario_of("load", Limits(100, 200, 0.01), 40)
    assert [step.seconds for step in scenario.steps] == [10] * 4
    for before, after in zip(scenario.steps, scenario.steps[1:], strict=False):
        assert after.start_s == before.start_s + before.seconds


def test_a_duration_too_short_for_its_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.5 s"):
        scenario_of("soak", Limits(100, 200, 0.01), 1)


def test_the_batch_class_promises_nothing_to_test() -> None:
    with pytest.raises(ConfigError, match="promises no p99_ms"):
        Limits.of(Slo(deadline_s=60, rps=1, error_rate=0.01))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h", 3_600)])
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1d", "s", "1 m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--duration"):
        seconds_of(text)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_script_asks_by_arrival_rate_and_holds_the_slo(profile: str) -> None:
    scenario = scenario_of(profile, Limits(100, 200, 0.001))  # type: ignore[arg-type]
    text = script(scenario, TARGET, "one")
    plan = json.loads(text.split("const plan = ", 1)[1].split(";\n", 1)[0])
    executors = {s["executor"] for s in plan["scenarios"].values()}
    assert executors == {"constant-arrival-rate", "ramping-arrival-rate"}
    judged = next(step.name for step in scenario.steps if step.judged)
    assert plan["thresholds"][f"answer_ms{{scenario:{judged}}}"] == ["p(99)<=100"]
    assert plan["thresholds"][f"failed{{scenario:{judged}}}"] == ["rate<=0.001"]
    assert plan["thresholds"][f"dropped_iterations{{scenario:{judged}}}"] == ["count<1"]
    assert plan["url"] == "http://127.0.0.1:8080/v2/models/payments/infer"
