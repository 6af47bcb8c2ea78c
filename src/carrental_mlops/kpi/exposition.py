"""The figures for Prometheus, in its text format, as node_exporter's textfile collector reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from carrental_mlops.kpi.delivery import Delivery
from carrental_mlops.kpi.events import DAY_S
from carrental_mlops.kpi.overview import SEGMENTS, Overview
from carrental_mlops.kpi.roadmap import counts

_HELP = {
    "crm_kpi_read_timestamp_seconds": "When the figures hold.",
    "crm_kpi_features": "Features by where they are.",
    "crm_kpi_lead_time_seconds": "Median time from idea to production, features under way counted.",
    "crm_kpi_lead_time_goal_seconds": "Lead time that is wanted.",
    "crm_kpi_stage_seconds": "Median time until a stage, since the stage before.",
    "crm_kpi_deployments_per_week": "Deployments into the last environment a week.",
    "crm_kpi_change_failure_ratio": "Share of deployments that failed.",
    "crm_kpi_time_to_restore_seconds": "Median time from a failure to its end.",
    "crm_kpi_failing": "Failures in production that have not ended.",
    "crm_kpi_minors_behind": "Minor versions of the package that a repo is behind.",
    "crm_kpi_upgrade_lag_seconds": "Time since the first version that a repo lacks was published.",
    "crm_kpi_within_one_minor_ratio": "Share of repos at most one minor version behind.",
    "crm_kpi_under_way": "Features and teams under way at the same time.",
    "crm_kpi_target_features": "Features wanted in the period.",
    "crm_kpi_forecast_features": "Features at the end of the period: so far, expected, and a 90 % interval.",
    "crm_kpi_forecast_target_ratio": "Chance of reaching the target.",
    "crm_kpi_milestones": "Milestones of the roadmap by status.",
    "crm_kpi_cost_per_1000_predictions": "Cost of 1,000 predictions, in the currency of the label.",
    "crm_kpi_quota_used_ratio": "Cost over quota of a team in its last known month.",
    "crm_kpi_unread": "Repos of which something could not be read.",
}
"""Metric to its help; all are gauges."""
Sample = tuple[str, Mapping[str, str], float]


def as_metrics(told: Overview) -> str:
    """`told` as a file for the textfile collector; what is not known has no sample.

    Source: prometheus.io/docs/instrumenting/exposition_formats, text-based format.
    """
    by_name: dict[str, list[Sample]] = {name: [] for name in _HELP}
    for sample in samples(told):
        by_name[sample[0]].append(sample)
    lines = []
    for name, found in by_name.items():
        if found:
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge", *map(_line, found)]
    return "\n".join(lines) + "\n"


def samples(told: Overview) -> Iterator[Sample]:
    """Each figure as metric, labels and value."""
    yield "crm_kpi_read_timestamp_seconds", {}, told.at.timestamp()
    yield "crm_kpi_lead_time_goal_seconds", {}, told.goal_days * DAY_S
    yield "crm_kpi_unread", {}, len(told.unread)
    yield from _delivery({"by": "all", "value": "all"}, told.whole)
    for by in SEGMENTS:
        for value, figures in told.segments[by].items():
            yield from _delivery({"by": by, "value": value}, figures)
    for service, figures in told.by_service.items():
        yield from _delivery({"by": "service", "value": service}, figures)
    yield "crm_kpi_under_way", {"of": "features"}, told.parallel.features_now
    yield "crm_kpi_under_way", {"of": "teams"}, told.parallel.teams_now
    yield from _versions(told)
    yield from _plans(told)


def _delivery(labels: Mapping[str, str], one: Delivery) -> Iterator[Sample]:
    yield "crm_kpi_features", {**labels, "state": "live"}, one.live
    yield "crm_kpi_features", {**labels, "state": "in_work"}, one.in_work
    yield "crm_kpi_deployments_per_week", labels, one.deployments_a_week
    yield "crm_kpi_failing", labels, one.failing_now
    for name, value, unit in (
        ("crm_kpi_lead_time_seconds", one.lead_days, DAY_S),
        ("crm_kpi_change_failure_ratio", one.change_failure.share, 1),
        ("crm_kpi_time_to_restore_seconds", one.restore_h, 3600),
    ):
        if value is not None:
            yield name, labels, value * unit
    for stage, days in one.stage_days.items():
        yield "crm_kpi_stage_seconds", {**labels, "stage": stage}, days * DAY_S


def _versions(told: Overview) -> Iterator[Sample]:
    for repo in told.upgrades.repos:
        if repo.minors is not None:
            yield "crm_kpi_minors_behind", {"service": repo.service}, repo.minors
        if repo.lag_days is not None:
            yield "crm_kpi_upgrade_lag_seconds", {"service": repo.service}, repo.lag_days * DAY_S
    if told.upgrades.within_one.share is not None:
        yield "crm_kpi_within_one_minor_ratio", {}, told.upgrades.within_one.share


def _plans(told: Overview) -> Iterator[Sample]:
    if (found := told.forecast) is not None:
        yield "crm_kpi_target_features", {}, found.target
        yield "crm_kpi_forecast_target_ratio", {}, found.chance
        for of, value in (("so_far", found.so_far), ("expected", found.expected), ("low", found.low),
                          ("high", found.high)):  # fmt: skip
            yield "crm_kpi_forecast_features", {"of": of}, value
    if told.milestones:
        for status, count in counts(told.milestones).items():
            yield "crm_kpi_milestones", {"status": status.replace(" ", "_")}, count
    if told.money is not None:
        for service in told.money.services:
            if service.cost_per_1000 is not None:
                labels = {"service": service.service, "currency": told.money.currency}
                yield "crm_kpi_cost_per_1000_predictions", labels, service.cost_per_1000
        for team, used in {one.team: one.share for one in told.money.teams}.items():
            yield "crm_kpi_quota_used_ratio", {"team": team}, used


def _line(sample: Sample) -> str:
    name, labels, value = sample
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{told}}} {float(value)!r}" if told else f"{name} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
