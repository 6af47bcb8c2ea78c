"""The pinned charts of others take our values, and what they make fits what our own chart makes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from control_plane import ControlPlane
from search_templates import CHART

from carrental_mlops.deploy.manifests.helm import render

pytestmark = pytest.mark.e2e
CHARTS = Path(os.environ.get("PLATFORM_CHARTS") or Path.home() / ".cache/carrental-mlops/charts")
"""Folder of unpacked charts, each with its dependencies (`helm pull --untar`); read when tests are collected."""
UPSTREAM = CHART / "upstream"
PINNED = {one["name"]: one for one in yaml.safe_load((UPSTREAM / "versions.yaml").read_text())}
_OURS = ("apps/v1", "v1", "rbac.authorization.k8s.io/v1", "policy/v1", "batch/v1", "apiregistration.k8s.io/v1")


def _made(name: str) -> list[dict[str, Any]]:
    """What the pinned chart makes of our values, in its namespace."""
    pin = PINNED[name]
    chart = CHARTS / pin["chart"]
    if not (chart / "Chart.yaml").is_file():
        pytest.skip(f"no {pin['chart']} in {CHARTS}: helm pull {pin['chart']} --repo {pin['repository']} --untar")
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["version"] == pin["version"]
    values = yaml.safe_load((UPSTREAM / pin["values"]).read_text())
    return [dict(one) for one in render(values, name, pin["namespace"], chart) if "helm.sh/hook" not in str(one)]


def _of(name: str, kind: str) -> dict[str, Any]:
    (found,) = [one for one in _made(name) if one["kind"] == kind]
    return found


def _ours() -> dict[tuple[str, str], dict[str, Any]]:
    made = render({}, "platform", "monitoring", CHART)
    return {(one["kind"], one["metadata"]["name"]): dict(one) for one in made}


@pytest.mark.parametrize("name", PINNED)
def test_a_cluster_takes_what_a_pinned_chart_makes_of_our_values(plane: ControlPlane, name: str) -> None:
    namespace = plane.namespace(PINNED[name]["namespace"])
    made = [one for one in _made(name) if one["apiVersion"] in _OURS]
    assert any(one["kind"] in ("Deployment", "DaemonSet") for one in made)
    for one in made:
        one["metadata"] = {"namespace": namespace, **one["metadata"]}
    answer = plane.apply(made, dry_run=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(("name", "kind"), [("fluent-bit", "DaemonSet"), ("fluent-bit-events", "Deployment")])
def test_fluent_bit_reads_our_configuration_and_may_ask_what_it_asks(name: str, kind: str) -> None:
    spec = _of(name, kind)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (config,) = [v["configMap"]["name"] for v in spec["volumes"] if v["name"] == "config"]
    (place,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "config"]
    assert set(_ours()["ConfigMap", config]["data"]) == {"fluent-bit.conf", "index.lua"}
    assert f"--config={place}/fluent-bit.conf" in container["args"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounted = {m["mountPath"] for m in container["volumeMounts"]}
    assert "/var/fluent-bit/state" in mounted and ("/var/log" in mounted) == (kind == "DaemonSet")
    (rule,) = _of(name, "ClusterRole")["rules"]
    assert "pods" in rule["resources"] and ("events" in rule["resources"]) == (kind == "Deployment")
    assert {one["name"] for one in container["env"]} >= {"OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD"}


def test_prometheus_takes_rules_of_every_namespace_and_alertmanager_our_configuration() -> None:
    prometheus, alertmanager = _of("monitoring", "Prometheus")["spec"], _of("monitoring", "Alertmanager")["spec"]
    assert prometheus["ruleSelector"] == prometheus["serviceMonitorSelector"] == {}
    assert prometheus["ruleNamespaceSelector"] == prometheus["serviceMonitorNamespaceSelector"] == {}
    assert ("Secret", alertmanager["configSecret"]) in _ours()
    assert alertmanager["secrets"] == ["alertmanager-keys"]


def test_grafana_finds_our_dashboards_and_data_sources_by_their_labels() -> None:
    (grafana,) = [
        one["spec"]["template"]["spec"]
        for one in _made("monitoring")
        if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("-grafana")
    ]
    labels = set()
    for container in [*grafana["containers"], *grafana.get("initContainers", ())]:
        labels |= {one["value"] for one in container.get("env", ()) if one["name"] == "LABEL"}
    ours = {label for one in _ours().values() for label in one["metadata"]["labels"] if label.startswith("grafana_")}
    assert ours == {"grafana_dashboard", "grafana_datasource"} <= labels


def test_spans_are_taken_and_told_at_the_addresses_that_the_values_name() -> None:
    service, config = _of("jaeger", "Service"), _of("jaeger", "ConfigMap")
    assert service["metadata"]["name"] == "jaeger"
    assert {4318, 16686} <= {port["port"] for port in service["spec"]["ports"]}
    told = yaml.safe_load(config["data"]["user-config.yaml"])
    assert told["extensions"]["jaeger_query"]["http"]["endpoint"].endswith(":16686")
    assert told["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
