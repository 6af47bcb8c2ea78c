"""How many features the year will have brought, and how sure that is."""

from __future__ import annotations

import math
from datetime import date

from carrental_mlops.config.frozen import Frozen

CONFIDENCE = 0.9
LEAST_DAYS = 28
"""Before so many days of the period have passed, the interval is too wide to plan by."""


class Forecast(Frozen):
    """What is to be expected at the end of the period."""

    target: int
    start: date
    end: date
    """The first day after the period."""
    so_far: int
    """Features that reached production since the start."""
    wanted_by_now: float
    """What the target would want by now, evenly."""
    expected: float
    """At the end: those so far and the mean of those to come."""
    low: int
    high: int
    """90 % prediction interval of the number at the end."""
    chance: float
    """Of reaching the target (0 to 1)."""


def forecast(target: int, start: date, end: date, today: date, so_far: int) -> Forecast | None:
    """The number of features at `end`, from the number at `today`; None in its first 28 days.

    Features are taken to come as a Poisson process of one unknown rate. With Jeffreys' prior the rate after k features
    in t days is Gamma(k + 1/2, t), and the number in the h days that remain is negative binomial with r = k + 1/2 and
    p = t / (t + h): its spread holds both the chance of what comes and the doubt about the rate. A rate that grows, as
    when teams are added, brings more than this says; features that come in bundles spread wider.

    Args:
        target: features wanted in the period.
        start: first day.
        end: first day after it.
        today: as of its beginning.
        so_far: features since `start`.

    Source: Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.6 to 2.8 (Poisson with gamma prior, negative
    binomial prediction, Jeffreys' prior).
    """
    passed, whole = (min(today, end) - start).days, (end - start).days
    if passed < min(LEAST_DAYS, whole):
        return None
    shape, p, tail = so_far + 0.5, passed / whole, (1 - CONFIDENCE) / 2
    if passed == whole:
        low = high = 0
        mean, chance = 0.0, float(so_far >= target)
    else:
        mean = shape * (whole - passed) / passed
        low, high = quantile(shape, p, tail), quantile(shape, p, 1 - tail)
        chance = 1 - cumulated(shape, p, target - so_far - 1)
    return Forecast(
        target=target, start=start, end=end, so_far=so_far, wanted_by_now=target * p, expected=so_far + mean,
        low=so_far + low, high=so_far + high, chance=chance,
    )  # fmt: skip


def cumulated(shape: float, p: float, most: int) -> float:
    """Chance that a negative binomial number of `shape` and success probability `p` is at most `most`."""
    return min(sum(_mass(shape, p, n) for n in range(most + 1)), 1.0)


def quantile(shape: float, p: float, level: float) -> int:
    """The least number that is not exceeded with a chance of `level` at least."""
    n, reached = 0, _mass(shape, p, 0)
    while reached < level:
        n += 1
        reached += _mass(shape, p, n)
    return n


def _mass(shape: float, p: float, n: int) -> float:
    ways = math.lgamma(n + shape) - math.lgamma(shape) - math.lgamma(n + 1)
    return math.exp(ways + shape * math.log(p) + n * math.log1p(-p))
