"""`crm watch` gives what an on-call engineer needs, from crm.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from carrental_mlops.cli.main import app

REPO = Path(__file__).parents[3] / "examples" / "fraud-payments"


def _said(*words: str) -> str:
    done = CliRunner().invoke(app, ["watch", *words, "--repo", str(REPO), "--env", "prod"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_alerts_are_listed_with_their_severity() -> None:
    found = {rule["alert"]: rule for rule in json.loads(_said("alerts", "--json"))}
    assert found["ErrorsFast"]["labels"]["severity"] == "critical"
    assert "ErrorsFast" in _said("alerts")


def test_rules_are_a_rule_file() -> None:
    names = [group["name"] for group in yaml.safe_load(_said("rules"))["groups"]]
    assert names == ["fraud-payments.slo", "fraud-payments.scores", "fraud-payments.alerts"]


def test_the_runbook_is_written_to_a_file(tmp_path: Path) -> None:
    assert _said("runbook", "--out", str(tmp_path / "runbook.md")).strip() == str(tmp_path / "runbook.md")
    assert (tmp_path / "runbook.md").read_text().startswith("# Runbook: fraud-payments in prod\n")


def test_the_dashboard_is_grafanas() -> None:
    assert json.loads(_said("dashboard"))["uid"] == "crm-fraud-payments"
