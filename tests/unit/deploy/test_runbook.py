"""The runbook holds what somebody can do: commands that exist, with this service's names."""

from __future__ import annotations

import re
import shlex

import promql_parser
import pytest
from typer.testing import CliRunner
from watched import config

from carrental_mlops.cli.main import app
from carrental_mlops.deploy.observe.alerts import SEVERITY, Alert, alerts_of
from carrental_mlops.deploy.observe.rules import rules_of, team_of
from carrental_mlops.deploy.observe.runbook import runbook_of

ALERTS = alerts_of(config(), "prod")
BOOK = runbook_of(config(), "prod")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_causes_and_three_commands(alert: Alert) -> None:
    section = BOOK.partition(f"\n## {alert.name}\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\d\. ", section, re.MULTILINE)) >= 3
    assert re.findall(r"^\$ (.+)$", section, re.MULTILINE) == list(alert.commands)
    assert all("payments" in command or "--env prod" in command for command in alert.commands)
    assert "{{" not in section


def _commands(tool: str) -> list[str]:
    in_text = re.findall(rf"`({tool} [^`]+)`", BOOK)
    return sorted({command for alert in ALERTS for command in alert.commands if command.startswith(tool)} | {*in_text})


@pytest.mark.parametrize("command", _commands("crm"))
def test_crm_knows_each_command_and_option(command: str) -> None:
    words = shlex.split(command)[1:]
    first = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    shown = CliRunner().invoke(app, [*words[:first], "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in words if word.startswith("--")), command


def test_prometheus_can_read_each_query() -> None:
    for command in _commands("promtool"):
        *words, expr = shlex.split(command)
        assert words == ["promtool", "query", "instant", "http://prometheus-operated.monitoring:9090"]
        promql_parser.parse(expr)


def test_each_alert_leads_to_its_section() -> None:
    rules = [rule for group in rules_of(config(), "prod") for rule in group["rules"] if "alert" in rule]
    for rule in rules:
        _, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert f"\n## {rule['alert']}\n" in BOOK
        assert anchor == rule["alert"].lower()
        assert rule["labels"]["owner"] == "risk-ds@example.com"
        assert rule["labels"]["team"] == "risk-ds"
        assert rule["annotations"]["dashboard_url"].startswith("http")


def test_the_tier_decides_who_is_woken() -> None:
    def severity(tier: int, name: str) -> str:
        groups = rules_of(config(tier=tier), "prod")
        rules = {rule.get("alert"): rule for group in groups for rule in group["rules"]}
        return str(rules[name]["labels"]["severity"])

    assert [severity(tier, "ErrorsFast") for tier in (1, 2, 3)] == ["critical", "critical", "warning"]
    assert [severity(tier, "FeaturesStale") for tier in (1, 2, 3)] == ["critical", "warning", "info"]
    assert severity(1, "ErrorsSlow") == "warning"
    assert {*SEVERITY} == {"now", "soon", "later"}


def test_a_team_may_be_named() -> None:
    assert team_of(config(watch={"team": "payments-ops"})) == "payments-ops"


def test_the_budget_is_the_slos() -> None:
    (errors,) = (alert for alert in ALERTS if alert.name == "ErrorsFast")
    assert "> 0.0144" in errors.expr
    (slow,) = (r for g in rules_of(config(), "prod") for r in g["rules"] if r.get("record") == "crm:slow:ratio_rate5m")
    assert 'le="0.15"' in slow["expr"]


def test_a_batch_service_has_no_alert_on_latency() -> None:
    batch = config(latency_class="batch", slo={"rps": 1, "error_rate": 0.01})
    assert not [alert.name for alert in alerts_of(batch, "prod") if alert.name.startswith("Latency")]
