"""Prometheus' recording and alerting rules of one service, derived from its SLO."""

from __future__ import annotations

from typing import Any

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.observe.alerts import SEVERITY, Alert, alerts_of
from carrental_mlops.deploy.observe.alerts.slo import ERRORS, SLOWER
from carrental_mlops.deploy.observe.queries import Queries, stability_index

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Of the burn rates."""


def rules_of(config: RepoConfig, env: str) -> list[dict[str, Any]]:
    """Groups as Prometheus' rule files and the PrometheusRule's `spec.groups` have them.

    Each alert has the labels service, env, team, owner, tier and severity, and the annotations summary, dashboard_url
    and runbook_url.

    Args:
        config: with the overlay of `env`.
        env: environment.
    """
    name = config.service
    return [
        {"name": f"{name}.slo", "interval": "30s", "rules": _recorded(config)},
        {"name": f"{name}.scores", "interval": "5m", "rules": _scores(Queries.of(config))},
        {"name": f"{name}.alerts", "interval": "30s", "rules": [_rule(config, env, a) for a in alerts_of(config, env)]},
    ]


def team_of(config: RepoConfig) -> str:
    """Who is called: `watch.team`, else what stands before the `@` of the owner."""
    return config.watch.team or config.owner.partition("@")[0].lower()


def dashboard_url(config: RepoConfig, env: str) -> str:
    """Where the service's dashboard is."""
    return f"{config.watch.grafana}/d/{dashboard_uid(config.service)}?var-env={env}"


def dashboard_uid(service: str) -> str:
    """Grafana's name of the dashboard, at most 40 characters."""
    return f"crm-{service}"[:40]


def _recorded(config: RepoConfig) -> list[dict[str, Any]]:
    q, p99_ms = Queries.of(config), config.slo.p99_ms
    rules = [{"record": f"{ERRORS}{window}", "expr": q.errors(window)} for window in WINDOWS]
    if p99_ms is not None:
        rules += [{"record": f"{SLOWER}{window}", "expr": q.slow(window, p99_ms / 1e3)} for window in WINDOWS]
    return rules


def _scores(q: Queries) -> list[dict[str, Any]]:
    by, at = "namespace, model, version", q.sel()
    now, week = f"crm:scores:share6h{at}", f"crm:scores:share_week{at}"
    known = f"({now}) and on ({by}) {week}"  # a version younger than a day has nothing to be compared with
    return [
        {"record": "crm:scores:share6h", "expr": q.shares("6h", by)},
        {"record": "crm:scores:share_week", "expr": f"avg_over_time({now}[7d] offset 1d)"},
        {"record": "crm:scores:drift", "expr": stability_index(known, week, by)},
    ]


def _rule(config: RepoConfig, env: str, alert: Alert) -> dict[str, Any]:
    labels = {
        "service": config.service,
        "env": env,
        "team": team_of(config),
        "owner": config.owner,
        "tier": str(config.tier),
        "severity": SEVERITY[alert.urgency][config.tier - 1],
    }
    annotations = {
        "summary": f"{config.service} ({env}): {alert.summary}",
        "dashboard_url": dashboard_url(config, env),
        "runbook_url": f"{config.watch.runbooks}/{config.service}#{alert.name.lower()}",
    }
    return {"alert": alert.name, "expr": alert.expr, "for": alert.hold, "labels": labels, "annotations": annotations}
