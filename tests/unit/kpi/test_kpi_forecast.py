"""The forecast's interval holds what it promises."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from carrental_mlops.kpi.forecast import CONFIDENCE, cumulated, forecast, quantile

START, END = date(2026, 1, 5), date(2027, 1, 5)
SIMULATED = 4000


def at(passed: int, so_far: int, target: int = 14):
    return forecast(target, START, END, START + timedelta(days=passed), so_far)


@pytest.mark.parametrize("rate", [5, 14, 40])
@pytest.mark.parametrize("passed", [60, 180, 300])
def test_nine_in_ten_years_end_within_the_interval(rate: int, passed: int) -> None:
    random = np.random.default_rng(rate * 1000 + passed)
    before = random.poisson(rate * passed / 365, SIMULATED)
    after = random.poisson(rate * (365 - passed) / 365, SIMULATED)
    limits = {int(count): at(passed, int(count)) for count in np.unique(before)}
    held = [limits[b].low <= b + a <= limits[b].high for b, a in zip(before.tolist(), after.tolist(), strict=True)]
    assert CONFIDENCE - 0.02 <= np.mean(held) <= 0.985


def test_the_chance_is_calibrated_over_years_of_unknown_rate() -> None:
    random = np.random.default_rng(5)
    rates = random.uniform(4, 28, SIMULATED)
    before = random.poisson(rates * 120 / 365)
    reached = before + random.poisson(rates * 245 / 365) >= 14
    said = np.array([at(120, int(count)).chance for count in before])
    for low, high in ((0.1, 0.4), (0.4, 0.6), (0.6, 0.9)):
        some = (said >= low) & (said < high)
        assert some.sum() > 200
        assert abs(reached[some].mean() - said[some].mean()) < 0.08


def test_an_interval_of_one_fixed_rate_would_be_too_narrow() -> None:
    """What the negative binomial adds: with the rate taken for known, fewer than 9 in 10 are held early on."""
    random = np.random.default_rng(8)
    before, after = random.poisson(14 * 60 / 365, SIMULATED), random.poisson(14 * 305 / 365, SIMULATED)
    spread = 1.645 * np.sqrt(before * 305 / 60)
    assert np.mean(np.abs(after - before * 305 / 60) <= spread) < 0.8


def test_chances_sum_to_one_and_the_quantile_is_the_least() -> None:
    assert cumulated(3.5, 0.4, 400) == pytest.approx(1, abs=1e-9)
    n = quantile(3.5, 0.4, 0.95)
    assert cumulated(3.5, 0.4, n) >= 0.95 > cumulated(3.5, 0.4, n - 1)


def test_nothing_is_said_in_the_first_four_weeks() -> None:
    assert [at(passed, 0) for passed in (-30, 0, 27)] == [None, None, None]
    assert at(28, 0).low == 0


def test_after_the_period_only_what_was_counts() -> None:
    missed, made = at(400, 13), at(365, 14)
    assert (missed.low, missed.expected, missed.high, missed.chance) == (13, 13, 13, 0)
    assert (made.low, made.high, made.chance) == (14, 14, 1)


def test_a_target_that_is_reached_is_certain() -> None:
    assert at(100, 14).chance == 1
    assert at(100, 20).low >= 20


def test_at_the_target_s_own_rate_the_chance_is_even() -> None:
    assert 0.4 < at(182, 7).chance < 0.65
    assert at(182, 7).wanted_by_now == pytest.approx(7, abs=0.1)
