"""`crm runs` on a real store; the runs are written as steps write them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carrental_mlops.core import Context, Dataset
from carrental_mlops.integrations.mlflow import Tracker, runs, tracking_uri
from carrental_mlops.integrations.mlflow_client import client_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    client_for(tracking_uri(root))
    return root / ".crm"


@pytest.fixture
def service(tiny_repo: Path, empty_store: Path) -> str:
    shutil.copytree(empty_store, tiny_repo / ".crm")
    return "tiny-" + next((tiny_repo / "src").iterdir()).name.rpartition("_")[2]


@pytest.fixture
def two_runs(tiny_repo: Path, service: str) -> None:
    for number, (score, digest) in enumerate([(0.5, "a"), (0.7, "b")], start=1):
        context = Context(f"training-n{number}", "training", "", service, root=tiny_repo, seed=1, stores=True)
        with Tracker(tracking_uri(tiny_repo), service, context.run_id).running(context, {"fingerprint": f"f{number}"}):
            for step, name, value in (
                ("evaluate", "average_precision", score),
                ("evaluate", "rows", 10.0),
                ("split", "rows", 90.0),
            ):
                one = Context(context.run_id, "training", step, service, root=tiny_repo, stores=True)
                one.metric(name, value)
                one.param(f"of_{name}", number)
                one.dataset("train", Dataset(digest * 64, 90, {"n": "int64"}, "data/x.parquet", "training"))
                Tracker(tracking_uri(tiny_repo), service, context.run_id).record(one)


def test_list_shows_the_newest_first_and_a_metric_by_its_bare_name(crm, two_runs: None) -> None:
    told = crm("runs", "list", "--metric", "average_precision")
    assert told.code == 0, told.err
    head, newest, oldest = told.out.splitlines()
    assert head.split()[-1] == "evaluate.average_precision"
    assert newest.split()[0] == "training-n2" and newest.split()[-1] == "0.7"
    assert oldest.split()[0] == "training-n1" and "FINISHED" in oldest
    assert crm("runs", "list", "--limit", "1", "--metric", "evaluate.rows").out.splitlines()[1].split()[-1] == "10"


def test_list_as_json_holds_all_that_the_runs_left(crm, two_runs: None) -> None:
    newest, oldest = json.loads(crm("runs", "list", "--json").out)
    assert newest["run_id"] == "training-n2"
    assert newest["metrics"] == {"evaluate.average_precision": 0.7, "evaluate.rows": 10.0, "split.rows": 90.0}
    assert newest["params"]["split.of_rows"] == "2"
    assert oldest["datasets"] == {"train": "a" * 36}
    assert oldest["tags"]["crm.fingerprint"] == "f1"


def test_an_unknown_metric_names_the_nearest_and_an_ambiguous_one_all(crm, two_runs: None) -> None:
    unknown = crm("runs", "list", "--metric", "averge_precision")
    assert unknown.code == 1 and "averge_precision" in unknown.err and "`average_precision`" in unknown.err
    several = crm("runs", "list", "--metric", "rows", "--json")
    assert several.code == 1 and "evaluate.rows, split.rows" in several.err


def test_a_repo_without_runs_lists_none(crm, service: str) -> None:
    assert crm("runs", "list", "--metric", "anything").out.count("\n") == 1
    assert json.loads(crm("runs", "list", "--json").out) == []


def test_diff_shows_what_differs_and_compare_everything(crm, two_runs: None) -> None:
    differs = json.loads(crm("runs", "diff", "training-n1", "training-n2", "--json").out)
    sides = {(row["kind"], row["name"]): (row["training-n1"], row["training-n2"]) for row in differs}
    assert sides["metric", "evaluate.average_precision"] == (0.5, 0.7)
    assert sides["param", "split.of_rows"] == ("1", "2")
    assert sides["data", "train"] == ("a" * 36, "b" * 36)
    assert sides["code", "fingerprint"] == ("f1", "f2")
    assert ("metric", "evaluate.rows") not in sides and not [name for _, name in sides if "pid" in name]

    everything = json.loads(crm("runs", "compare", "training-n1", "training-n2", "--json").out)
    assert {"kind": "metric", "name": "evaluate.rows", "training-n1": 10.0, "training-n2": 10.0} in everything
    assert len(everything) > len(differs)

    table = crm("runs", "diff", "training-n1", "training-n2").out.splitlines()
    assert table[0].split() == ["name", "training-n1", "training-n2"]
    assert table[1].split() == ["metric", "evaluate.average_precision", "0.5", "0.7"]


def test_a_run_is_found_by_the_end_of_its_id_and_an_unknown_one_refused(crm, two_runs: None) -> None:
    several = crm("runs", "diff", "train", "training-n2")
    assert several.code == 1 and "2 runs of tiny-" in several.err and "crm runs list" in several.err
    assert json.loads(crm("runs", "diff", "n1", "n2", "--json").out) == json.loads(
        crm("runs", "diff", "training-n1", "training-n2", "--json").out
    )
    assert crm("runs", "compare", "training-n9", "training-n2").code == 1


_STUCK = """
import sys, time
from pathlib import Path
from carrental_mlops.core import Context
from carrental_mlops.integrations.mlflow import Tracker, tracking_uri
root, service, run = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with Tracker(tracking_uri(root), service, run).running(Context(run, "training", "", service, root=root)):
    print("running", flush=True)
    time.sleep(600)
"""


def _started(root: Path, service: str, run: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(root), service, run], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout is not None and child.stdout.readline() == "running\n"
    return child


def test_a_killed_run_is_closed_at_the_next_start_and_a_living_one_left_alone(
    crm, tiny_repo: Path, service: str
) -> None:
    killed, alive = (_started(tiny_repo, service, name) for name in ("killed", "alive"))
    try:
        killed.kill()
        killed.wait()
        assert {r["run_id"]: r["status"] for r in json.loads(crm("runs", "list", "--json").out)} == {
            "killed": "RUNNING",
            "alive": "RUNNING",
        }
        with Tracker(tracking_uri(tiny_repo), service, "next").running(Context("next", root=tiny_repo)):
            pass
        found = {r.run_id: r for r in runs(tracking_uri(tiny_repo), service)}
        assert {name: r.status for name, r in found.items()} == {
            "killed": "KILLED",
            "alive": "RUNNING",
            "next": "FINISHED",
        }
        assert str(killed.pid) in found["killed"].tags["crm.ended"]
        assert found["killed"].seconds is not None
        alive.send_signal(signal.SIGINT)
        alive.wait(30)
        assert {r.run_id: r.status for r in runs(tracking_uri(tiny_repo), service)}["alive"] == "KILLED"
    finally:
        alive.kill()
        alive.wait()


def test_a_run_that_raises_is_closed_as_failed_at_once(tiny_repo: Path, service: str) -> None:
    uri = tracking_uri(tiny_repo)
    with (
        pytest.raises(ZeroDivisionError),
        Tracker(uri, service, "bad").running(Context("bad", root=tiny_repo)),
    ):
        time.sleep(1 / 0)
    assert [r.status for r in runs(uri, service)] == ["FAILED"]
