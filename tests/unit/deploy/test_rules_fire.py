"""Each alert fires on series that it is for, and not on series that are near it: promtool runs the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from watched import config, said, tool

from carrental_mlops.deploy.observe.rules import rules_of
from carrental_mlops.serving.telemetry import SCORE_BINS, bin_label

NAMES = [rule["alert"] for group in rules_of(config(), "prod") for rule in group["rules"] if "alert" in rule]
Series = dict[str, str]


def at(metric: str, **labels: str) -> str:
    """A series of the service."""
    inside = {"namespace": "models", "model": "payments", "version": "3", "pod": "payments-champion-0-abc"} | labels
    matchers = ",".join(f'{name}="{value}"' for name, value in inside.items())
    return f"{metric}{{{matchers}}}"


def pod(metric: str, **labels: str) -> str:
    """A series that the cluster tells of a pod of the service."""
    return at(metric, **labels).replace('model="payments",version="3",', "")


def seconds(quick_a_minute: int, slow_a_minute: int, minutes: int = 200, **labels: str) -> Series:
    """Requests of which so many take under 100 ms and so many between 150 and 200 ms."""
    all_of_them = quick_a_minute + slow_a_minute
    counted = {"0.1": quick_a_minute, "0.15": quick_a_minute, "0.2": all_of_them, "+Inf": all_of_them}
    series = {at("crm_request_seconds_bucket", le=le, **labels): f"0+{n}x{minutes}" for le, n in counted.items()}
    return series | {at("crm_request_seconds_count", **labels): f"0+{all_of_them}x{minutes}"}


def ages(fresh: int, stale: int) -> Series:
    """Reads a minute of stored features under and over 48 hours old."""
    counted = {"86400.0": fresh, "172800.0": fresh, "+Inf": fresh + stale}
    series = {at("crm_feature_age_seconds_bucket", view="customer", le=le): f"0+{n}x200" for le, n in counted.items()}
    return series | {at("crm_feature_age_seconds_count", view="customer"): f"0+{fresh + stale}x200"}


def scores(low: str, high: str, **labels: str) -> Series:
    """Scores in the lowest and in the highest bin but one."""
    ends = [bin_label(end) for end in SCORE_BINS]
    return {
        at("crm_scores_total", bin=ends[0], decision="accept", **labels): low,
        at("crm_scores_total", bin=ends[-2], decision="block", **labels): high,
    }


def requests(well: str, badly: str = "0x200", code: str = "500", **labels: str) -> Series:
    return {at("crm_requests_total", code="200", **labels): well, at("crm_requests_total", code=code, **labels): badly}


CANARY = {"crm_carrental_track": "canary", "version": "4", "pod": "payments-canary-0-xyz"}
CHAMPION = {"crm_carrental_track": "champion"}
BOTH = {**requests("0+600x200", **CHAMPION), **requests("0+60x200", **CANARY)}
HEALTHY = {
    at("crm_model_info"): "1x200",
    at("crm_model_registered_timestamp_seconds"): "0x200",
    at("crm_queue_fill_ratio"): "0.1x200",
    at("crm_audit_free_ratio"): "0.9x200",
    at("crm_audit_waiting_seconds"): "30x200",
    at("crm_audit_dropped_total", cause="disk"): "0x200",
    at("crm_features_late_total"): "0x200",
    pod("kube_pod_container_status_restarts_total"): "1x200",
    **requests("0+600x200"),
    **seconds(600, 1),
    **ages(600, 1),
}


@dataclass
class Case:
    """Series in which an alert must fire at minute `minute`, and others in which it must not."""

    fires: Series
    quiet: Series
    minute: int = 45
    step: str = "1m"
    """Between two samples, and two evaluations."""
    without: set[str] = field(default_factory=set)
    """Metrics of the healthy service that are not there when it must fire."""


_CPU = {pod("kube_pod_container_resource_requests", resource="cpu"): "0.5x200"}
_MEMORY = {pod("kube_pod_container_resource_limits", resource="memory"): "1000x200"}


def replicas(scaler: str, now: int, most: int) -> Series:
    labels = f'{{namespace="models",horizontalpodautoscaler="{scaler}"}}'
    return {
        f"kube_horizontalpodautoscaler_status_current_replicas{labels}": f"{now}x200",
        f"kube_horizontalpodautoscaler_spec_max_replicas{labels}": f"{most}x200",
    }


_AS_EVER = scores("0+1800x400", "0+200x400")
CASES = {
    "ErrorsFast": Case(requests("0+600x200", "0+12x200"), requests("0+600x200", "0+3x200")),
    "ErrorsSlow": Case(requests("0+600x200", "0+2x200"), requests("0+6000x200", "0+5x200")),
    "LatencyFast": Case(seconds(500, 100), seconds(590, 10)),
    "LatencySlow": Case(seconds(580, 20), seconds(598, 2)),
    "ServiceDown": Case({}, {}, without={"crm_model_info"}),
    "NoTraffic": Case(requests("0+600x20 12000x100"), requests("0+600x40 24000x60")),
    "PodsRestart": Case(
        {pod("kube_pod_container_status_restarts_total"): "1x35 2+1x60"},
        {pod("kube_pod_container_status_restarts_total"): "1x35 2x60"},
    ),
    "QueueFull": Case({at("crm_queue_fill_ratio"): "0.95x200"}, {at("crm_queue_fill_ratio"): "0.95x3 0.3x200"}),
    "CpuSaturated": Case(
        {**_CPU, pod("container_cpu_usage_seconds_total", container="payments"): "0+29x200"},
        {**_CPU, pod("container_cpu_usage_seconds_total", container="payments"): "0+15x200"},
    ),
    "ReplicasAtMaximum": Case(
        replicas("payments-champion", 10, 10), {**replicas("payments-champion", 9, 10), **replicas("payments2", 5, 5)}
    ),
    "MemoryNearLimit": Case(
        {**_MEMORY, pod("container_memory_working_set_bytes", container="payments"): "950x200"},
        {**_MEMORY, pod("container_memory_working_set_bytes", container="payments"): "800x200"},
    ),
    "ModelOld": Case(
        {at("crm_model_registered_timestamp_seconds"): f"{-91 * 86400}x200"},
        {
            at("crm_model_registered_timestamp_seconds"): f"{-91 * 86400}x200",
            at("crm_model_registered_timestamp_seconds", version="4"): "0x200",
        },
        minute=75,
    ),
    "ScoreDrift": Case(
        scores("0+1800x380 684000x40", "0+200x380 76000+2000x40"), _AS_EVER, minute=30 * 400, step="30m"
    ),
    "FeaturesStale": Case(ages(600, 300), ages(600, 2)),
    "FeaturesLate": Case({at("crm_features_late_total"): "0+60x200"}, {at("crm_features_late_total"): "0+2x200"}),
    "AuditDropped": Case(
        {at("crm_audit_dropped_total", cause="disk"): "0x40 5x60"},
        {at("crm_audit_dropped_total", cause="disk"): "0x20 5x180"},
    ),
    "AuditDiskFilling": Case({at("crm_audit_free_ratio"): "0.1x200"}, {at("crm_audit_free_ratio"): "0.2x200"}),
    "AuditNotShipped": Case(
        {at("crm_audit_waiting_seconds"): "0+60x200"}, {at("crm_audit_waiting_seconds"): "900x200"}
    ),
    "Switched": Case({at("crm_switched", to="rules"): "1x200"}, {at("crm_switched", to="rules"): "0x20 1x20 0x200"}),
    "SwitchBroken": Case({at("crm_switch_broken"): "1x200"}, {at("crm_switch_broken"): "0x200"}),
    "CanaryErrors": Case(
        {**BOTH, **requests("0+60x200", "0+3x200", **CANARY)}, {**BOTH, **requests("0+2x200", "0+2x200", **CANARY)}
    ),
    "CanarySlow": Case(
        {**BOTH, **seconds(600, 0, **CHAMPION), **seconds(50, 10, **CANARY)},
        {**BOTH, **seconds(600, 0, **CHAMPION), **seconds(60, 0, **CANARY)},
    ),
    "CanaryDrift": Case(
        {**BOTH, **scores("0+540x200", "0+60x200", **CHAMPION), **scores("0+30x200", "0+30x200", **CANARY)},
        {**BOTH, **scores("0+540x200", "0+60x200", **CHAMPION), **scores("0+54x200", "0+6x200", **CANARY)},
    ),
}


def _test(name: str, series: Series, case: Case, expected: int | None) -> dict[str, Any]:
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    samples = [] if expected is None else [{"labels": "{}", "value": expected}]
    return {
        "name": f"{name} {'fires' if expected else 'is quiet'}",
        "interval": case.step,
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{case.minute}m", "exp_samples": samples}],
    }


def _file(folder: Path, tests: list[dict[str, Any]], step: str, name: str | None = None) -> Path:
    """A test file beside the service's own rules (those that `name` needs), which are evaluated at one pace."""
    rules = [rule for group in rules_of(config(), "prod") for rule in group["rules"]]
    if name is not None:
        kept = [rule for rule in rules if rule.get("alert") == name]
        for rule in reversed([rule for rule in rules if "record" in rule]):
            if any(rule["record"] in other["expr"] for other in kept):
                kept.insert(0, rule)
        rules = kept
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "interval": step, "rules": rules}]}))
    wanted = folder / "tests.yaml"
    wanted.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": step, "tests": tests}))
    return wanted


def test_every_alert_has_a_case() -> None:
    assert sorted(CASES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_fires_where_it_must_and_nowhere_else(name: str, tmp_path: Path) -> None:
    tool("promtool")
    case = CASES[name]
    kept = {key: values for key, values in HEALTHY.items() if key.partition("{")[0] not in case.without}
    tests = [
        _test(name, kept | case.fires, case, 1),
        _test(name, HEALTHY | case.quiet, case, None),
    ]
    said("promtool", "test", "rules", _file(tmp_path, tests, case.step, name))


def test_a_healthy_service_calls_nobody(tmp_path: Path) -> None:
    tool("promtool")
    quiet = _test("", HEALTHY, Case({}, {}), None)
    quiet["promql_expr_test"][0]["expr"] = "count(ALERTS)"
    said("promtool", "test", "rules", _file(tmp_path, [quiet], "1m"))
