"""What a cluster's services share: routes by team, retention by data class, dashboards that Grafana reads."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard
from lupa import LuaRuntime
from watched import config, said, tool

from carrental_mlops.assets import asset_dir
from carrental_mlops.deploy.manifests.helm import lint, render
from carrental_mlops.deploy.observe.dashboard import SOURCE
from carrental_mlops.deploy.observe.rules import rules_of
from carrental_mlops.errors import ConfigError

CHART = asset_dir("helm") / "platform"
TEAMS = {
    "risk-ds": {"pager": "pagerduty", "chat": "#risk", "mail": "risk-ds@example.com"},
    "pricing": {"mail": "pricing@example.com"},
}
VALUES: dict[str, Any] = {"alertmanager": {"teams": TEAMS}}
IMAGE = f"python@sha256:{'a' * 64}"


def _objects(values: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    found = render(values, "platform", "monitoring", CHART)
    return {(thing["kind"], thing["metadata"]["name"]): thing for thing in found}


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    """Alertmanager's configuration as the chart makes it."""
    path = tmp_path / "alertmanager.yaml"
    path.write_text(_objects(VALUES)["Secret", "alertmanager-config"]["stringData"]["alertmanager.yaml"])
    return path


def test_helm_has_nothing_to_object() -> None:
    assert lint({**VALUES, "bootstrap": {"image": IMAGE}}, "monitoring", CHART) == ()


def test_alertmanager_accepts_the_configuration(routing: Path) -> None:
    tool("amtool")
    assert "9 receivers" in said("amtool", "check-config", routing)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("team=risk-ds severity=critical", "risk-ds-pager"),
        ("team=risk-ds severity=warning", "risk-ds-chat"),
        ("team=risk-ds severity=info", "risk-ds-mail"),
        ("team=pricing severity=critical", "pricing-pager"),
        ("team=nobody severity=critical", "fallback-pager"),
        ("severity=info", "fallback-mail"),
    ],
)
def test_an_alert_reaches_its_team(routing: Path, labels: str, receiver: str) -> None:
    tool("amtool")
    found = said("amtool", "config", "routes", "test", "--config.file", routing, *labels.split())
    assert found.splitlines()[0] == receiver


def test_every_alert_of_a_service_reaches_somebody_of_its_team(routing: Path) -> None:
    tool("amtool")
    rules = [rule for group in rules_of(config(), "prod") for rule in group["rules"] if "alert" in rule]
    wanted = {"critical": "risk-ds-pager", "warning": "risk-ds-chat", "info": "risk-ds-mail"}
    for labels in {tuple(sorted(rule["labels"].items())) for rule in rules}:
        pairs = [f"{name}={value}" for name, value in labels]
        found = said("amtool", "config", "routes", "test", "--config.file", routing, *pairs)
        assert found.splitlines()[0] == wanted[dict(labels)["severity"]]


def test_a_team_without_a_pager_is_reached_otherwise(routing: Path) -> None:
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(routing.read_text())["receivers"]}
    assert receivers["pricing-pager"]["email_configs"][0]["to"] == "pricing@example.com"
    assert "pagerduty_configs" in receivers["risk-ds-pager"]


def test_no_key_stands_in_the_configuration(routing: Path) -> None:
    text = routing.read_text()
    assert "routing_key_file: /etc/alertmanager/secrets/alertmanager-keys/risk-ds-pager" in text
    assert not re.search(r"(routing_key|api_key|api_url|password):", text)


@pytest.mark.parametrize(
    ("values", "said_by_it"),
    [
        ({"alertmanager": {"teams": {"risk": {"pager": "pagerduty"}}}}, "neither chat nor mail"),
        ({"alertmanager": {"teams": {"risk": {"mail": "a@example.com", "pager": "bell"}}}}, "pagerduty or opsgenie"),
        ({"bootstrap": {"image": "python:3.11"}}, "digest"),
        ({"openSearch": {"url": "http://opensearch:9200"}}, "https"),
    ],
)
def test_what_would_not_work_is_refused(values: dict[str, Any], said_by_it: str) -> None:
    with pytest.raises(ConfigError, match=said_by_it):
        render(values, "platform", "monitoring", CHART)


def test_saved_dashboards_are_grafanas() -> None:
    found = _objects(VALUES)
    for name in ("service-logs", "cluster-events", "request-audit"):
        board = json.loads(found["ConfigMap", f"dashboard-{name}"]["data"][f"{name}.json"])
        assert Dashboard.from_json(board).uid == f"crm-{name}"
        sources = yaml.safe_load(found["ConfigMap", "datasource-opensearch"]["data"]["opensearch.yaml"])["datasources"]
        assert {panel["datasource"]["uid"] for panel in board["panels"]} <= {source["uid"] for source in sources}
    assert SOURCE == "prometheus"


def _put_templates() -> Any:
    spec = importlib.util.spec_from_file_location("put_templates", CHART / "files" / "put_templates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_personal_data_is_kept_shortest() -> None:
    data = _objects(VALUES)["ConfigMap", "opensearch-templates"]["data"]
    wanted = json.loads(data["indices.json"])
    module = _put_templates()
    policies, templates = module.policies(wanted), module.templates(json.loads(data["mappings.json"]), wanted)
    assert set(policies) - set(templates) == {"traces-internal"}
    assert set(templates) < set(policies)
    ages = {
        name: p["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] for name, p in policies.items()
    }
    assert ages["audit-personal"] == "180d"
    for kind in ("logs", "audit"):
        days = wanted["retentionDays"][kind]
        assert days["personal"] == min(days.values())


@pytest.mark.parametrize(
    ("tag", "pod", "index"),
    [
        ("pods.x", {"namespace_name": "models", "labels": {"crm.carrental/data-class": "internal"}}, "logs-internal"),
        ("pods.x", {"namespace_name": "models", "labels": {"crm.carrental/data-class": "secret"}}, "logs-personal"),
        ("pods.x", {"namespace_name": "models", "labels": {}}, "logs-personal"),
        ("pods.x", {"namespace_name": "kube-system"}, "cluster-internal"),
        ("pods.x", {"namespace_name": "ingress"}, "cluster-internal"),
        ("pods.x", None, "logs-personal"),
        ("events", None, "cluster-internal"),
    ],
)
def test_a_line_goes_to_the_index_of_its_data_class(tag: str, pod: dict[str, Any] | None, index: str) -> None:
    lua = LuaRuntime()
    lua.execute((CHART / "files" / "index.lua").read_text())
    record = lua.table_from({"kubernetes": pod} if pod else {}, recursive=True)
    _, _, changed = lua.globals().index(tag, 0, record)
    assert changed["index"] == index


def test_logs_go_to_opensearch_over_verified_tls() -> None:
    for name in ("fluent-bit-config", "fluent-bit-events-config"):
        made = _objects(VALUES)["ConfigMap", name]["data"]["fluent-bit.conf"]
        assert "Logstash_Prefix_Key index" in made
        assert re.search(r"^ +tls.verify +On$", made, re.MULTILINE)
        assert re.search(r"^ +Host +opensearch.example.com\n +Port +9200$", made, re.MULTILINE)


def test_each_program_is_pinned_and_has_its_values() -> None:
    for chart in yaml.safe_load((CHART / "upstream" / "versions.yaml").read_text()):
        assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])
        values = yaml.safe_load((CHART / "upstream" / chart["values"]).read_text())
        assert isinstance(values, dict)
