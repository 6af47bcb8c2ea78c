"""Ctrl-C at a random instant: exit 130, nothing goes on running, no MLflow run left open, a rerun goes through."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from crm_process import finished, fraud_repo, group_of, started, training

from carrental_mlops.integrations.mlflow import runs, tracking_uri

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

SEED = 7
STOPPED = {130, -signal.SIGINT}
"""What a shell shows as 130: the exit code, or Python interrupted while it still imports."""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fraud_repo(tmp_path_factory.mktemp("interrupted"))


@pytest.fixture(scope="module")
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.mark.parametrize("group", [True, False], ids=["as a terminal does", "process alone"])
@pytest.mark.parametrize("after", ["ingest", "features", "split", "gate"])
def test_ctrl_c_on_zenml_closes_the_run(repo: Path, chance: random.Random, after: str, group: bool) -> None:
    trees = chance.randrange(5, 500)
    with started(training(trees, "--no-cache"), repo) as running:
        assert running.wait_for(f" {after} "), running.said
        time.sleep(wait := chance.uniform(0, 1.0))
        running.stop(signal.SIGINT, group=group)
        assert running.wait(120) in STOPPED, running.said
        assert group_of(running.process.pid) == []
    told = f"seed {SEED}, {wait:.2f} s after {after}: {running.said}"
    assert "Traceback" not in running.said, told
    assert runs(tracking_uri(repo), "night-watch", 1)[0].status == "KILLED", told


def test_a_rerun_goes_through_and_reuses_what_was_done(repo: Path) -> None:
    code, rerun = finished(training(12), repo)
    assert code == 0, rerun.said
    assert rerun.steps["features"] == "="


def test_ctrl_c_while_it_starts_leaves_no_run_open(tmp_path: Path, chance: random.Random) -> None:
    repo = fraud_repo(tmp_path)
    for _ in range(3):
        with started(training(10), repo) as running:
            time.sleep(chance.uniform(0.1, 12))
            running.stop(signal.SIGINT)
            assert running.wait(120) in STOPPED, (running.lasted, running.said)
            assert group_of(running.process.pid) == []
    code, rerun = finished(training(10), repo)
    assert code == 0, rerun.said
    assert {r.status for r in runs(tracking_uri(repo), "night-watch")} <= {"KILLED", "FINISHED"}


@pytest.mark.parametrize("group", [True, False], ids=["as a terminal does", "process alone"])
def test_ctrl_c_in_process_stops_and_stores_nothing(tmp_path: Path, chance: random.Random, group: bool) -> None:
    repo = fraud_repo(tmp_path)
    with started(training(10, "--engine", "local"), repo) as running:
        assert running.wait_for(" aggregate ")
        time.sleep(chance.uniform(0, 1.0))
        running.stop(signal.SIGINT, group=group)
        assert running.wait(120) == 130, running.said
        assert group_of(running.process.pid) == []
    code, rerun = finished(training(10, "--engine", "local"), repo)
    assert code == 0, rerun.said


@pytest.mark.parametrize("group", [True, False], ids=["as a terminal does", "process alone"])
def test_ctrl_c_stops_make_demo_and_what_it_started(tmp_path: Path, chance: random.Random, group: bool) -> None:
    (tmp_path / "examples").mkdir()
    script = tmp_path / "examples" / "demo.py"
    for name in ("demo.py", "demo_service.py"):
        shutil.copy(Path(__file__).parents[2] / "examples" / name, script.with_name(name))
    with started([sys.executable, str(script)], tmp_path) as running:
        assert running.wait_for(" ingest "), running.said
        time.sleep(chance.uniform(0, 3.0))
        running.stop(signal.SIGINT, group=group)
        assert running.wait(120) in STOPPED, running.said
        assert group_of(running.process.pid) == []
    assert "Traceback" not in running.said, running.said
    repo = tmp_path / ".demo" / "fraud-payments"
    assert [r.status for r in runs(tracking_uri(repo), "fraud-payments")] == ["KILLED"]
