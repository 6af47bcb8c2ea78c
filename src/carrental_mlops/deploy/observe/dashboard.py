"""Grafana dashboard of one service; the only module that knows grafana-foundation-sdk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from carrental_mlops.config import RepoConfig
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.observe.alerts.slo import ERRORS
from carrental_mlops.deploy.observe.queries import Queries
from carrental_mlops.deploy.observe.rules import dashboard_uid, team_of

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard
    from grafana_foundation_sdk.builders.timeseries import Panel

SOURCE = "prometheus"
"""uid of Grafana's data source, as `helm/platform` sets it."""
_VERSION = "version"
_WIDE, _HIGH = 8, 8
"""Of a panel, of 24 columns, and in rows."""


def dashboard_of(config: RepoConfig) -> dict[str, Any]:
    """The dashboard as Grafana's JSON: the four golden signals per version, then model, features and audit.

    Rollouts are annotations: a line where a version begins to answer in a track.

    Args:
        config: with the overlay of the environment.
    """
    from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    board = (
        Dashboard(f"{config.service}: service and model")
        .uid(dashboard_uid(config.service))
        .tags(["crm", config.service, team_of(config), f"tier-{config.tier}"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
        .annotation(_rollouts(Queries.of(config)))
    )
    for title, panels in _rows(config).items():
        board = board.with_row(Row(title))
        for panel in panels:
            board = _with(board, panel)
    made: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    return made


def _with(board: Dashboard, panel: Panel) -> Dashboard:
    return board.with_panel(panel.span(_WIDE).height(_HIGH))


def _rows(config: RepoConfig) -> dict[str, list[Panel]]:
    q = Queries.of(config)
    rows = {
        "Traffic and errors": _traffic(config, q),
        "Latency": _latency(config, q),
        "Saturation": _saturation(q),
        "Model": _model(config, q),
        "Audit": _audit(q),
    }
    if config.serving.features.source != "request":
        rows["Stored features"] = _features(config, q)
    return rows


def _traffic(config: RepoConfig, q: Queries) -> list[Panel]:
    budget = f"{ERRORS}1h{q.sel()} / {config.slo.error_rate:g}" if config.slo.error_rate else f"{ERRORS}1h{q.sel()}"
    return [
        _panel("Requests", "reqps", {_NAMED: q.requests("5m", _TRACKED)}, config.slo.rps),
        _panel(
            "Share of failed answers", "percentunit", {_BY_VERSION: q.errors("5m", _VERSION)}, config.slo.error_rate
        ),
        _panel("Budget burnt in an hour (1: it just lasts)", "none", {"burn rate": budget}, 1),
        _panel("Answers by status", "reqps", {"{{code}}": q.requests("5m", "code")}),
        _panel("Answers not given, by cause", "short", {"{{cause}} {{version}}": q.failures("cause, version")}),
        _panel("Pods that answer", "short", {_BY_VERSION: f"count by (version) (crm_model_info{q.sel()})"}),
    ]


def _latency(config: RepoConfig, q: Queries) -> list[Panel]:
    limit = config.slo.p99_ms / 1e3 if config.slo.p99_ms else None
    return [
        _panel("p50", "s", {_BY_VERSION: q.quantile(0.5, "5m", _VERSION)}),
        _panel("p99", "s", {_BY_VERSION: q.quantile(0.99, "5m", _VERSION)}, limit),
        _panel("Where the time goes (mean)", "s", {"{{stage}}": q.stages("5m")}),
    ]


def _saturation(q: Queries) -> list[Panel]:
    return [
        _panel("Fullest queue", "percentunit", {"{{pod}}": f"max by (pod) (crm_queue_fill_ratio{q.sel()})"}, 0.8),
        _panel("CPU of what is reserved", "percentunit", {"CPU": q.cpu()}, 0.9),
        _panel("Memory of its limit", "percentunit", {"{{pod}}": q.memory()}, 0.9),
    ]


def _model(config: RepoConfig, q: Queries) -> list[Panel]:
    age = f"max by (version) ((time() - crm_model_registered_timestamp_seconds{q.sel()}) / 86400)"
    decided = f"sum by (decision, version) (rate(crm_scores_total{q.sel()}[5m]))"
    drift = {"{{version}}": f"crm:scores:drift{q.sel()}", "canary to champion": q.canary_drift("30m")}
    return [
        _panel(
            "Score distribution (share of rows by upper end)",
            "percentunit",
            {"{{version}} up to {{bin}}": q.shares("30m", _VERSION)},
        ),
        _panel("Drift of scores (PSI)", "none", drift, config.watch.max_score_drift),
        _panel("Decisions", "reqps", {"{{decision}} {{version}}": decided}),
        _panel("Age of the model (days)", "none", {_BY_VERSION: age}, config.watch.model_max_age_days),
    ]


def _features(config: RepoConfig, q: Queries) -> list[Panel]:
    policy = config.serving.features
    unknown = f"sum by (view) (rate(crm_features_unknown_total{q.sel()}[5m]))"
    late = f"sum by (version) (rate(crm_features_late_total{q.sel()}[5m]))"
    return [
        _panel("Age of stored features (hours)", "none", {"{{view}}": q.feature_hours("5m")}, policy.stale_after_hours),
        _panel("Unknown entities", "reqps", {"{{view}}": unknown}),
        _panel("Reads over budget or failed", "reqps", {_BY_VERSION: late}),
    ]


def _audit(q: Queries) -> list[Panel]:
    kept = f"sum by (version) (rate(crm_audit_written_total{q.sel()}[5m]))"
    lost = f"sum by (cause) (rate(crm_audit_dropped_total{q.sel()}[5m]))"
    return [
        _panel("Events kept and lost", "reqps", {"kept {{version}}": kept, "lost {{cause}}": lost}),
        _panel("Oldest event not sent", "s", {"{{pod}}": f"max by (pod) (crm_audit_waiting_seconds{q.sel()})"}),
        _panel("Free disk", "percentunit", {"{{pod}}": f"min by (pod) (crm_audit_free_ratio{q.sel()})"}, 0.15),
    ]


def _panel(title: str, unit: str, asked: dict[str, str], limit: float | None = None) -> Panel:
    """A panel of lines, legend to PromQL; `limit` is drawn."""
    from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
    from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode
    from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

    panel = timeseries.Panel().title(title).unit(unit).datasource(DataSourceRef("prometheus", SOURCE))
    for ref, (legend, expr) in zip("ABCDEF", asked.items(), strict=False):
        panel = panel.with_target(prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref))
    if limit is None:
        return panel
    steps = [Threshold(None, "transparent"), Threshold(limit, "red")]
    thresholds = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE)
    return panel.thresholds(thresholds).thresholds_style(style)


def _rollouts(q: Queries) -> AnnotationQuery:
    from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    answering = f"count by (version, {labels.PROMETHEUS_TRACK}, {labels.PROMETHEUS_RELEASE}) (crm_model_info{q.sel()})"
    return (
        AnnotationQuery()
        .name("Rollouts")
        .datasource(DataSourceRef("prometheus", SOURCE))
        .enable(True)
        .icon_color("blue")
        .expr(f"{answering} unless {answering.replace('}', '} offset 5m', 1)}")
    )


_TRACKED = f"version, {labels.PROMETHEUS_TRACK}"
_NAMED = "{{version}} {{" + labels.PROMETHEUS_TRACK + "}}"
_BY_VERSION = "version {{version}}"
