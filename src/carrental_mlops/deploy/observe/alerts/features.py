"""Alerts on stored features: stale, or not read in time."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """None where callers send the features themselves."""
    if config.serving.features.source == "request":
        return
    hours = config.serving.features.stale_after_hours
    yield Alert(
        "FeaturesStale",
        f"{q.stale('10m', hours * 3600)} > 0.01",
        "5m",
        "soon",
        f"{{{{ $value | humanizePercentage }}}} of the reads of {{{{ $labels.view }}}} are older than {hours:g} hours",
        _STALE,
        (c.query(f"sort_desc({q.feature_hours('15m')})"), c.features(), c.diagnose()),
    )
    late = f"sum by (namespace, model) (rate(crm_features_late_total{q.sel()}[5m]))"
    yield Alert(
        "FeaturesLate",
        f"{late} / {q.requests('5m')} > 0.01",
        "5m",
        "soon",
        "{{ $value | humanizePercentage }} of the requests are answered without their stored features",
        _LATE,
        (c.query(f"sort_desc({q.stages('15m')})"), c.logs(), c.switch("rules")),
    )


_STALE = (
    Cause("the features pipeline did not run", "every entity of the view is old", "run it: the second command"),
    Cause("its source is late", "the pipeline ran, its newest row is old", "ask the source's owner"),
    Cause("it writes to another store", "the pipeline ran well, minutes ago", "compare `feast.online` of both"),
    Cause("some entities are gone from the source", "only some are old", "`crm audit show` has their ages"),
)
_LATE = (
    Cause("the online store is down or not let in", "every read fails", "look at Redis and the NetworkPolicy"),
    Cause("it is slow", '`stage="features"` is near `serving.features.budget_ms`', "its CPU and slow log"),
    Cause("its password or certificate changed", "the log says so", "renew the secret"),
)
