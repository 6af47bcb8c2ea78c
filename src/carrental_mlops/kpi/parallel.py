"""How much is under way at the same time, by how many teams."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.kpi.events import days_between
from carrental_mlops.kpi.service import Service


class Parallel(Frozen):
    """Work under way: begun and not in production."""

    features_now: int
    teams_now: int
    """Teams with a feature under way."""
    features_mean: float
    """Over the window."""
    teams_mean: float
    """Over the window."""


def parallel(services: Sequence[Service], now: datetime, window_days: int) -> Parallel:
    """What was under way in the `window_days` before `now`, and what is.

    Over a long time, mean work under way = features a day x mean lead time in days: half the lead time wants half the
    teams for the same number of features.

    Source: Little, A proof for the queuing formula L = lambda W, Operations Research 9 (1961), 383-387.
    """
    begin = now - timedelta(days=window_days)
    spans = [
        (one.team, max(feature.began, begin), min(feature.live or now, now))
        for one in services
        for feature in one.features
        if feature.live is None or feature.live > begin
    ]
    teams = sorted({team for team, _, _ in spans})
    under_way = [(one.team, f) for one in services for f in one.features if f.live is None]
    return Parallel(
        features_now=len(under_way),
        teams_now=len({team for team, _ in under_way}),
        features_mean=sum(max(days_between(first, last), 0) for _, first, last in spans) / window_days,
        teams_mean=sum(_covered([(a, b) for name, a, b in spans if name == team]) for team in teams) / window_days,
    )


def _covered(spans: Sequence[tuple[datetime, datetime]]) -> float:
    """Days that at least one span covers."""
    days, reached = 0.0, None
    for first, last in sorted(spans):
        start = first if reached is None or first > reached else reached
        if last > start:
            days, reached = days + days_between(start, last), last
    return days
