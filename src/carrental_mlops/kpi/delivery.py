"""How fast and how safely features and releases come, over any set of services."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import NormalDist, median

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.kpi.events import STAGES, Deployment, Stage, days_between
from carrental_mlops.kpi.features import Feature
from carrental_mlops.kpi.service import Service

LEAD_WINDOW_DAYS = 365
"""Features that went live longer ago count for no lead time."""
CONFIDENCE = 0.9


class Share(Frozen):
    """How many of how many, with what that says of the rate behind it."""

    count: int
    of: int
    share: float | None
    """None of nothing."""
    low: float | None
    high: float | None
    """Wilson's 90 % interval."""


class Delivery(Frozen):
    """Figures of one set of services."""

    services: int
    live: int
    """Features in production."""
    in_work: int
    """Features that are not."""
    lead_days: float | None
    """Median over features in production and in work; None while less than half are known to be through."""
    lead_days_live: float | None
    """Median over features in production alone, which is too low while slow ones are in work."""
    within_goal: Share
    """Of the features in production, those no slower than the goal."""
    stage_days: dict[Stage, float]
    """Median days until each stage, since the one before; features in production."""
    deployments: int
    """Into the last environment, rollbacks left out, within the window."""
    deployments_a_week: float
    change_failure: Share
    restore_h: float | None
    """Median hours from a failure to its end; None where none ended."""
    failing_now: int
    """Failures that have not ended."""


def delivery(services: Sequence[Service], now: datetime, window_days: int, goal_days: float) -> Delivery:
    """The figures of `services` at `now`.

    Args:
        services: as they were at `now` (`overview.as_of`).
        now: UTC.
        window_days: for deployments and failures.
        goal_days: lead time that is wanted.

    Source: DORA's software delivery metrics (dora.dev/guides/dora-metrics): deployment frequency, change fail rate,
    failed deployment recovery time; how each is read from our files stands in docs/reference/kpi.md.
    """
    since = now - timedelta(days=LEAD_WINDOW_DAYS)
    features = [one for service in services for one in service.features if one.live is None or one.live > since]
    through = [one for one in features if one.live is not None]
    leads = [one.lead_days for one in through if one.lead_days is not None]
    recent, days = _recent(services, now, window_days)
    failed = [one for one in recent if one.failed_at is not None]
    hours = [one.restore_h for one in failed if one.restore_h is not None and ended(one, now)]
    return Delivery(
        services=len(services),
        live=sum(one.live is not None for service in services for one in service.features),
        in_work=len(features) - len(through),
        lead_days=median_through([(one.age_days(now), one.live is not None) for one in features]),
        lead_days_live=median(leads) if leads else None,
        within_goal=share(sum(one <= goal_days for one in leads), len(leads)),
        stage_days=_stages(through),
        deployments=len(recent),
        deployments_a_week=7 * len(recent) / days,
        change_failure=share(len(failed), len(recent)),
        restore_h=median(hours) if hours else None,
        failing_now=sum(not ended(one, now) for one in failed),
    )


def ended(failed: Deployment, now: datetime) -> bool:
    """Whether the failure was over at `now`."""
    return failed.restored_at is not None and failed.restored_at <= now


def median_through(times: Iterable[tuple[float, bool]]) -> float | None:
    """The time by which half are through, those that are still on their way counted as long as they have been.

    Args:
        times: how long each took or has been on its way, and whether it is through.

    Returns:
        None where the estimate never falls to a half.

    Source: Kaplan and Meier, Nonparametric estimation from incomplete observations, JASA 53 (1958), 457-481.
    """
    ordered = sorted(times, key=lambda one: (one[0], not one[1]))
    remain = 1.0
    for n, (time, through) in enumerate(ordered):
        if through:
            remain *= 1 - 1 / (len(ordered) - n)
            if remain <= 0.5 + 1e-12:
                return time
    return None


def share(count: int, of: int) -> Share:
    """`count` of `of` with its interval.

    Source: Wilson, Probable inference, JASA 22 (1927), 209-212.
    """
    if of == 0:
        return Share(count=count, of=of, share=None, low=None, high=None)
    z, p = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), count / of
    middle, half = (p + z * z / (2 * of)), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return Share(count=count, of=of, share=p, low=max((middle - half) / scale, 0), high=min((middle + half) / scale, 1))


def _recent(services: Sequence[Service], now: datetime, window_days: int) -> tuple[list[Deployment], float]:
    """Deployments within the window, and its days: fewer where the oldest service is younger; a week at least."""
    since = now - timedelta(days=window_days)
    recent = [one for service in services for one in service.deployments if one.asked_at > since and not one.back]
    begins = [one.began for service in services for one in service.features]
    age = days_between(min(begins), now) if begins else window_days
    return recent, max(min(age, window_days), 7)


def _stages(through: Sequence[Feature]) -> dict[Stage, float]:
    days = [one.stage_days() for one in through]
    found = {stage: [one[stage] for one in days if stage in one] for stage in STAGES[1:]}
    return {stage: median(values) for stage, values in found.items() if values}
