"""`crm switch` on this machine: what it writes, what it keeps of it, what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_repo import crm, small_repo

from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.serving.switch import LOCAL, Order


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(small_repo(tmp_path))
    return tmp_path


def kinds(repo: Path) -> list[str]:
    return [entry.kind for entry in Journal(repo, "releases/", "local").entries()]


def test_a_switch_is_written_for_the_service_and_in_the_journal_once(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["switch", "payments", "--to", "rules", "--reason", "scores drift", "--until", "2030-03-01T10:00"]
    assert crm(*asked) == 0
    assert crm(*asked) == 0
    order = Order.parsed((repo / LOCAL).read_text())
    assert order is not None
    assert (order.to, order.reason, order.until) == ("rules", "scores drift", datetime(2030, 3, 1, 10, tzinfo=UTC))
    assert kinds(repo) == ["switch.on"]
    assert "it is so already" in capsys.readouterr().err
    assert crm("switch", "payments", "--json") == 0
    assert json.loads(capsys.readouterr().out)["to"] == "rules"


def test_off_ends_it_before_its_time(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crm("switch", "payments", "--to", "constant", "--decision", "review", "--reason", "a fault", "--until", "2h")
    assert crm("switch", "payments", "--off", "--reason", "mended") == 0
    assert crm("switch", "payments", "--off", "--reason", "mended") == 0
    assert Order.parsed((repo / LOCAL).read_text()) is None
    assert kinds(repo) == ["switch.on", "switch.off"]
    assert "the model answers" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["switch", "payments", "--to", "previous", "--reason", "a fault", "--until", "30m", "--dry-run"]
    assert crm(*asked) == 0
    order = Order.parsed(capsys.readouterr().out)
    assert order is not None
    assert timedelta(minutes=29) < order.until - datetime.now(UTC) <= timedelta(minutes=30)
    assert not (repo / LOCAL).exists()
    assert kinds(repo) == []


def test_a_dry_run_with_no_order_says_what_answers(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm("switch", "payments", "--dry-run") == 0
    assert capsys.readouterr().out == "the model answers\n"
    crm("switch", "payments", "--to", "rules", "--reason", "a fault", "--until", "2h")
    capsys.readouterr()
    assert crm("switch", "payments", "--off", "--reason", "mended", "--dry-run") == 0
    assert capsys.readouterr().out == "would switch back: the model answers\n"
    assert (repo / LOCAL).exists()


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["deploy"], ["rollback"], ["logs"], ["diff"], ["promote", "--to", "local", "--abort"]],
    ids=lambda arguments: arguments[0],
)
def test_a_command_for_a_cluster_refuses_this_machine(
    repo: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert crm(*arguments) == 1
    assert "local is this machine, and has no cluster\nFix: --env prod" in capsys.readouterr().err


def test_a_diagnosis_without_prometheus_says_first_that_it_cannot_say(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["diagnose", "payments", "--prometheus", "http://127.0.0.1:9"]
    assert crm(*asked) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("cannot say: Prometheus at http://127.0.0.1:9 does not answer")
    assert "nothing that is measured has changed" not in "".join(said)
    assert crm(*asked, "--json") == 3
    assert len(json.loads(capsys.readouterr().out)["unknown"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["other", "--to", "rules", "--reason", "a", "--until", "2h"], "this is the repo of payments"),
        (["payments", "--to", "rules", "--reason", "a", "--until", "2020-01-01T00:00"], "has passed"),
    ],
)
def test_what_cannot_be_switched_is_refused(
    repo: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert crm("switch", *arguments) == 1
    assert said in capsys.readouterr().err
    assert not (repo / LOCAL).exists()


@pytest.mark.parametrize(
    "arguments", [["--to", "rules", "--until", "2h"], ["--to", "rules", "--reason", "a"], ["--off"]]
)
def test_a_switch_wants_a_reason_and_an_end(repo: Path, arguments: list[str]) -> None:
    assert crm("switch", "payments", *arguments) == 2


def test_a_broken_switch_is_told(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / LOCAL).parent.mkdir(parents=True)
    (repo / LOCAL).write_text("{broken")
    assert crm("switch", "payments") == 1
    assert "the service ignores it" in capsys.readouterr().err
