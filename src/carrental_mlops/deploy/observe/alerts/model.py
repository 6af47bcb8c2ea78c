"""Alerts on the model: its age, and how its scores are spread."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

_ROWS = 1000
"""Fewer scores in six hours say nothing of their spread."""


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """An old model; scores that have moved."""
    limit = config.watch.model_max_age_days
    ages = f"(time() - crm_model_registered_timestamp_seconds{q.sel()}) / 86400"
    yield Alert(
        "ModelOld",
        f"min by (namespace, model) ({ages}) > {limit:g}",
        "1h",
        "later",
        f"the newest model that answers is {{{{ $value | humanize }}}} days old, {limit:g} are allowed",
        _OLD,
        (c.query(f"sort_desc(max by (version) ({ages}))"), c.runs(), c.train()),
    )
    at, by = q.sel(), "namespace, model, version"
    enough = f"sum by ({by}) (increase(crm_scores_total{q.sel()}[6h])) > {_ROWS}"
    moved = f"topk(5, abs(crm:scores:share6h{at} - on ({by}, bin) crm:scores:share_week{at}))"
    yield Alert(
        "ScoreDrift",
        f"crm:scores:drift{at} > {config.watch.max_score_drift:g} and on ({by}) {enough}",
        "1h",
        "soon",
        "the scores of version {{ $labels.version }} are spread otherwise than in the week before (PSI {{ $value }})",
        _MOVED,
        (c.query(moved), c.audit(), c.train()),
    )


_OLD = (
    Cause("the nightly training fails", "the newest run is `failed`", "the run's log names the step"),
    Cause("the gate says no", "the newest run ended in a refusal", "its report: drift, or the data"),
    Cause("a better model waits for a person", "a newer version is `challenger`", "review it, then promote"),
    Cause("it was registered and never deployed", "a newer version is `champion`", "release it"),
)
_MOVED = (
    Cause("a stored feature is stale or unknown", "FeaturesStale fires, unknown entities rise", "see FeaturesStale"),
    Cause("a caller sends another unit or default", "the rows of one caller", "ask them; `crm audit show`"),
    Cause("an attack or a campaign", "the upper bins grow, from few branches or cards", "tell the business"),
    Cause("the world has moved", "it rises over weeks", "train again: the third command"),
)
