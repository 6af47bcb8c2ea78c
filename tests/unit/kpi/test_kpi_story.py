"""One repo from an idea to production and on: its git, its MLflow store and its releases, read by the command."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kpi_repo import KpiRepo, day
from prometheus_client.parser import text_string_to_metric_families

from carrental_mlops.cli.main import main
from carrental_mlops.config import load, repo_config
from carrental_mlops.core import Context
from carrental_mlops.integrations.mlflow_client import tracking_uri
from carrental_mlops.integrations.mlflow_tracking import Tracker
from carrental_mlops.kpi.trainings import trainings

ROADMAP = """\
start: 2026-01-05
features: 14
tracks:
  - name: MLOps deployment
    initiatives:
      - name: First services
        owner: lead
        milestones:
          - {name: two in production, due_day: 60, reached: {stage: production, features: 2}}
          - {name: three in production, due_day: 70, reached: {stage: production, features: 3}}
"""
COSTS = """\
currency: EUR
services:
  fraud:
    build: {amount: 9000, source: "18 person-days, timesheet", assumption: false}
    months:
      2026-02:
        cost: {amount: 300, source: invoice 12, assumption: false}
        value: {amount: 3300, source: "blocked fraud, guessed"}
        predictions: {amount: 1500000, source: crm audit, assumption: false}
teams:
  risk-ds@example.com: {cost_a_month: {amount: 200, source: budget 2026, assumption: false}}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two repos: `fraud` with two features live and one in work, `damage` just made by another team.

    fraud, in days: idea 0, made 2, first training 4, gate 9, merged 10, staging 12, production 20 (a canary).
    night-rentals: idea 30, trained on its branch 33, gate there 35, merged 36, staging 38, production 40.
    long-rentals: idea 50, trained on its branch 52, not merged.
    """
    folder = tmp_path_factory.mktemp("models")
    fraud = KpiRepo(folder / "fraud")
    fraud.new(2)
    fraud.idea("fraud", 0)
    first = fraud.branch("feature/first-model", 3)
    fraud.train(4, first, passed=False)
    fraud.train(9, first, passed=True)
    merged = fraud.merge("feature/first-model", 10)
    fraud.deploy("staging", 12, merged)
    fraud.deploy("prod", 13, merged, track="canary")
    fraud.journal("prod", 20, "rollout.promoted", "prod-1")
    fraud.idea("night-rentals", 30)
    night = fraud.branch("feature/night-rentals", 32)
    fraud.train(33, night, passed=False)
    fraud.train(35, night, passed=True)
    brought = fraud.merge("feature/night-rentals", 36)
    later = fraud.commit(37, "Readme")
    fraud.deploy("staging", 38, brought)
    fraud.deploy("prod", 39, merged)
    fraud.deploy("prod", 40, later)
    fraud.idea("long-rentals", 50)
    fraud.train(52, fraud.branch("feature/long-rentals", 51), passed=False)
    KpiRepo(folder / "damage", "damage", "cars@example.com", 3, "batch").new(45)
    (folder / "roadmap.yaml").write_text(ROADMAP)
    (folder / "costs.yaml").write_text(COSTS)
    return folder


def told(crm, models: Path, *more: str):
    files = ("--roadmap", f"{models}/roadmap.yaml", "--costs", f"{models}/costs.yaml")
    return crm("kpi", *more, str(models), *files, "--at", "2026-03-05")


@pytest.fixture
def crm(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> str:
        try:
            code = main(arguments)
        except SystemExit as done:
            code = done.code
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return call


def test_each_feature_has_its_stages_from_what_the_tools_wrote(crm, models: Path) -> None:
    found = json.loads(told(crm, models, "show", "--json"))
    rows = {row["feature"]: row for row in found["features"]}
    assert rows["fraud"]["stage_days"] == {
        "idea": 0, "created": 2, "trained": 2, "gate_passed": 5, "merged": 1, "staging": 2, "production": 8
    }  # fmt: skip
    assert rows["night-rentals"]["stage_days"] == {
        "idea": 0, "trained": 3, "gate_passed": 2, "merged": 1, "staging": 2, "production": 2
    }  # fmt: skip
    assert rows["long-rentals"]["stage_days"] == {"idea": 0, "trained": 2}
    assert {name: (row["live"], round(row["age_days"], 3)) for name, row in rows.items()} == {
        "fraud": (True, 20), "night-rentals": (True, 10), "long-rentals": (False, 10), "damage": (False, 15)
    }  # fmt: skip


def test_the_stages_of_a_feature_sum_to_its_lead_time(crm, models: Path) -> None:
    found = json.loads(told(crm, models, "show", "--json"))
    live = [row for row in found["features"] if row["live"]]
    assert [sum(row["stage_days"].values()) for row in live] == [row["age_days"] for row in live] == [20, 10]


def test_figures_are_held_against_the_goal_and_segmented(crm, models: Path) -> None:
    found = json.loads(told(crm, models, "show", "--json"))
    assert (found["past_days"], found["goal_days"]) == (90, 22)
    assert found["whole"]["lead_days_live"] == 15 and found["whole"]["within_goal"]["count"] == 2
    assert found["whole"]["lead_days"] == 20, "two of four are through by then, the others are under way"
    assert {by: sorted(values) for by, values in found["segments"].items()} == {
        "template": ["batch", "fraud-realtime"],
        "team": ["cars@example.com", "risk-ds@example.com"],
        "tier": ["1", "3"],
    }
    assert found["segments"]["team"]["cars@example.com"]["lead_days"] is None
    assert (found["parallel"]["features_now"], found["parallel"]["teams_now"]) == (2, 2)


def test_roadmap_target_and_money_are_in_the_same_answer(crm, models: Path) -> None:
    found = json.loads(told(crm, models, "show", "--json"))
    assert [(one["status"], one["done"]) for one in found["milestones"]] == [("done", "2026-02-14"), ("due soon", None)]
    assert found["forecast"]["so_far"] == 2 and found["forecast"]["low"] >= 2
    service, team = found["money"]["services"][0], found["money"]["teams"][0]
    assert service["cost_per_1000"] == pytest.approx(0.2)
    assert service["payback_months"] == pytest.approx(3) and service["return_on_cost"] == pytest.approx(-6000 / 9300)
    assert service["assumed"] == ["2026-02 value: blocked fraud, guessed"]
    assert (team["share"], team["missing"], team["assumed"]) == (1.5, [], False)


def test_an_earlier_day_shows_what_was_known_then(crm, models: Path) -> None:
    found = json.loads(crm("kpi", "show", str(models / "fraud"), "--at", "2026-01-16", "--json"))
    assert [(row["feature"], sorted(row["reached"])) for row in found["features"]] == [
        ("fraud", ["created", "gate_passed", "idea", "merged", "trained"])
    ]
    assert found["whole"]["deployments"] == 0


def test_a_repo_that_was_not_there_on_that_day_is_not_counted(crm, models: Path) -> None:
    found = json.loads(crm("kpi", "show", str(models), "--at", "2026-01-16", "--json"))
    assert list(found["by_service"]) == ["fraud"] and found["whole"]["services"] == 1


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "rect", "path", "polygon", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_report_is_markdown_and_one_page_that_loads_nothing(crm, models: Path, tmp_path: Path) -> None:
    told(crm, models, "report", "--out", str(tmp_path))
    markdown, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for part in ("## Lead time", "## Roadmap", "| three in production |", "90 % between", "150 % of its quota"):
        assert part in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    page = _Page()
    page.feed(html)
    assert page.outside == [] and page.open == [] and page.tags.count("svg") == 3
    assert "script" not in page.tags and "default-src 'none'" in html


def test_the_metrics_are_read_by_prometheus_own_parser(crm, models: Path, tmp_path: Path) -> None:
    told(crm, models, "metrics", "--out", str(tmp_path / "crm_kpi.prom"))
    text = (tmp_path / "crm_kpi.prom").read_text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    leads = {tuple(s.labels.values()): s.value for s in families["crm_kpi_lead_time_seconds"].samples}
    assert (leads[("all", "all")], leads[("tier", "1")]) == (20 * 86400, 10 * 86400)
    assert all(family.type == "gauge" for family in families.values())
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here; prometheus_client's parser has read them")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_broken_repo_is_named_and_the_others_are_read(crm, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "damage", tmp_path / "damage")
    shutil.copytree(models / "damage", tmp_path / "broken")
    (tmp_path / "broken" / "config" / "crm.yaml").write_text("service: [\n")
    found = json.loads(crm("kpi", "show", str(tmp_path), "--json"))
    assert sorted(found["by_service"]) == ["damage"] and list(found["unread"]) == ["broken"]
    assert any(alert.startswith("broken: not all could be read") for alert in found["alerts"])


def test_a_fleet_file_names_the_repos(crm, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "damage", tmp_path / "damage")
    (tmp_path / "damage" / ".crm.json").write_text(
        '{"template": "damage", "version": "0.1.0", "answers": {}, "files": {}}'
    )
    (tmp_path / "fleet.yaml").write_text("services: [{path: damage}]\n")
    found = json.loads(crm("kpi", "show", "--fleet", str(tmp_path / "fleet.yaml"), "--json"))
    assert list(found["by_service"]) == ["damage"]


def test_a_second_repo_of_one_service_is_told_and_not_counted(crm, models: Path, tmp_path: Path) -> None:
    for group in ("a", "b"):
        shutil.copytree(models / "damage", tmp_path / group / "damage")
    found = json.loads(crm("kpi", "show", str(tmp_path), "--json"))
    assert found["whole"]["services"] == 1
    assert found["unread"] == {"b/damage": ["another repo is the service `damage` too"]}


def test_a_release_that_cannot_be_read_is_told_and_the_rest_is_shown(crm, models: Path, tmp_path: Path) -> None:
    repo = tmp_path / "damage"
    shutil.copytree(models / "damage", repo)
    (repo / "releases" / "prod").mkdir(parents=True)
    (repo / "releases" / "prod" / "1.json").write_text("{}")
    found = json.loads(crm("kpi", "show", "--repo", str(repo), "--json"))
    assert [row["feature"] for row in found["features"]] == ["damage"]
    assert found["unread"]["damage"][0].startswith("releases of prod: releases/prod/1.json is not a release")
    assert str(tmp_path) not in json.dumps(found)


def test_a_run_that_our_tracker_writes_is_read_as_a_training(models: Path) -> None:
    repo = models / "fraud"
    context = Context(service="fraud", env="local", seed=0, root=repo, pipeline="training", step="gate", run_id="t-1")
    tracker = Tracker(tracking_uri(repo), "fraud", "t-1")
    with tracker.running(context):
        context.metric("gate_passed", 1.0)
        tracker.record(context)
    before, newest = trainings(repo, [repo_config(load(repo))])[-2:]
    assert (newest.passed, newest.commit) == (True, KpiRepo(repo).git("rev-parse", "HEAD"))
    assert before.at == day(52) and not before.passed


def test_a_shallow_clone_is_told_and_dates_nothing(crm, models: Path, tmp_path: Path) -> None:
    source = f"file://{models / 'fraud'}"
    subprocess.run(["git", "clone", "-q", "--depth", "1", source, str(tmp_path / "fraud")], check=True)
    found = json.loads(crm("kpi", "show", str(tmp_path / "fraud"), "--json"))
    assert found["features"] == [] and "shallow" in found["unread"]["fraud"][0]
