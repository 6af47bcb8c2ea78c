"""Alerts on a canary that is worse than the champion."""

from __future__ import annotations

from collections.abc import Iterator

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.observe.alerts.alert import Alert, Cause
from carrental_mlops.deploy.observe.queries import CANARY, CHAMPION, Queries
from carrental_mlops.deploy.observe.runbook_commands import Commands

_REQUESTS = 100
"""Fewer in ten minutes say nothing."""
_BY = "namespace, model"


def alerts(config: RepoConfig, q: Queries, c: Commands) -> Iterator[Alert]:
    """More errors, slower, other scores; silent where no canary runs."""
    plan, track = config.deploy.rollout, labels.PROMETHEUS_TRACK
    enough = f"sum by ({_BY}) (increase(crm_requests_total{q.sel(CANARY)}[10m])) > {_REQUESTS}"

    def alert(name: str, worse: str, said: str, first: str) -> Alert:
        three = (c.query(first), c.diagnose(), c.rollback())
        return Alert(name, f"{worse} and on ({_BY}) {enough}", "2m", "soon", f"the canary {said}", _CAUSES, three)

    yield alert(
        "CanaryErrors",
        f"{q.errors('10m', _BY, CANARY)} - {q.errors('10m', _BY, CHAMPION)} > {plan.max_error_rate:g}",
        "fails {{ $value | humanizePercentage }} more of its answers than the champion",
        q.failures(f"{track}, cause"),
    )
    yield alert(
        "CanarySlow",
        f"{q.quantile(0.99, '10m', _BY, CANARY)} / {q.quantile(0.99, '10m', _BY, CHAMPION)} > {plan.max_p99_ratio:g}",
        "has a p99 that is {{ $value | humanize }} times the champion's",
        f"sort_desc({q.quantile(0.99, '10m', track)})",
    )
    yield alert(
        "CanaryDrift",
        f"{q.canary_drift('30m')} > {plan.max_drift:g}",
        "spreads its scores otherwise than the champion (PSI {{ $value | humanize }})",
        f"sort_desc({q.shares('30m', track)})",
    )


_CAUSES = (
    Cause("its model or code", "a `cause` or a bin of scores that the champion has not", "roll back"),
    Cause("it is cold or small", "from the first minutes only", "wait for one step"),
    Cause("its environment", "secrets, network or volume differ: `crm diff`", "mend the overlay"),
)
