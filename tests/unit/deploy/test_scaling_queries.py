"""What an HPA asks for is what the Prometheus adapter's rules give, and Prometheus reads every query as meant."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered_repos import NEW, config_of

from carrental_mlops.assets import asset_dir
from carrental_mlops.deploy.manifests.render import render

SERIES = {
    'crm_requests_total{namespace="models",pod="a",model="fraud-payments",crm_carrental_track="champion"}': "0+300x20",
    'crm_requests_total{namespace="models",pod="idle",model="fraud-payments",crm_carrental_track="champion"}': "5x20",
    **{
        f'crm_request_seconds_bucket{{namespace="models",pod="{pod}",model="fraud-payments",'
        f'crm_carrental_track="champion",le="{le}"}}': values
        for pod, le, values in (
            ("a", "0.05", "0+270x20"),
            ("a", "0.1", "0+300x20"),
            ("a", "+Inf", "0+300x20"),
            ("idle", "0.05", "5x20"),
            ("idle", "0.1", "5x20"),
            ("idle", "+Inf", "5x20"),
        )
    },
}


def objects(kind: str, **autoscale: Any) -> list[dict[str, Any]]:
    """Objects of one kind, scaled so."""
    made = render(config_of(autoscale=autoscale), "prod", NEW).objects
    return [one for one in made if one["kind"] == kind]


def adapter_queries() -> dict[str, str]:
    """Metric to query, as the adapter asks it for every pod of a namespace."""
    values = yaml.safe_load((asset_dir("helm") / "platform" / "upstream" / "prometheus-adapter.yaml").read_text())
    found = {}
    for rule in values["rules"]["custom"]:
        series = rule["seriesQuery"].partition("{")[0]
        query = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.GroupBy>>", "pod")
        found[rule["name"]["as"]] = query.replace("<<.LabelMatchers>>", 'namespace="models"')
    return found


def promtool(tests: list[dict[str, Any]], folder: Path) -> None:
    """Hold queries to the samples that they must give."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not on PATH (Debian: prometheus)")
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    file = folder / "queries.yaml"
    tested = [{"interval": "30s", "input_series": series, "promql_expr_test": tests}]
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tested}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pod_metric_of_an_hpa_has_a_rule_of_the_adapter() -> None:
    (hpa,) = objects("HorizontalPodAutoscaler", rps=50, p99_ms=80)
    asked = {one["pods"]["metric"]["name"] for one in hpa["spec"]["metrics"] if one["type"] == "Pods"}
    assert asked == set(adapter_queries())


def test_the_adapters_queries_give_each_pods_rate_and_p99_and_zero_where_nobody_asks(tmp_path: Path) -> None:
    queries = adapter_queries()
    wanted = {"crm_requests_per_second": (10, 0), "crm_request_p99_milliseconds": (95, 0)}
    tests = [
        {
            "expr": f"round({queries[name]}, 0.001)",
            "eval_time": "9m",
            "exp_samples": [{"labels": '{pod="a"}', "value": busy}, {"labels": '{pod="idle"}', "value": idle}],
        }
        for name, (busy, idle) in wanted.items()
    ]
    promtool(tests, tmp_path)


def test_kedas_queries_give_the_rate_and_p99_of_the_track(tmp_path: Path) -> None:
    (scaled,) = objects("ScaledObject", by="keda", rps=50, p99_ms=80, cpu_percent=None)
    queries = [one["metadata"]["query"] for one in scaled["spec"]["triggers"]]
    tests = [
        {"expr": f"round({query}, 0.001)", "eval_time": "9m", "exp_samples": [{"labels": "{}", "value": value}]}
        for query, value in zip(queries, (10, 95), strict=True)
    ]
    promtool(tests, tmp_path)
