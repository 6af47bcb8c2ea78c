"""Training, registry and promotion through a real `mlflow server` on PostgreSQL, seen with a plain MlflowClient."""

from __future__ import annotations

import html
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crm_process import finished, fraud_repo, started, training
from mlflow_on_postgres import Server, mlflow_server

from carrental_mlops.data.model import Model
from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations.mlflow import Registry
from carrental_mlops.integrations.mlflow_lock import registry_lock
from carrental_mlops.integrations.processes import HOST, identity

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]
CRM = Path(sys.executable).with_name("crm")
SERVICE = "night-watch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fraud_repo(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def trained(server: Server, repo: Path) -> Any:
    """MLflow's run of a training that went through."""
    code, said = finished(training(8), repo, {"MLFLOW_TRACKING_URI": server.uri})
    assert code == 0, said.said
    return _newest(server)


def _client(server: Server) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(server.uri, server.uri)


def _newest(server: Server) -> Any:
    client = _client(server)
    experiment = client.get_experiment_by_name(SERVICE)
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)[0]


def _crm(server: Server, repo: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"MLFLOW_TRACKING_URI": server.uri, **environment}
    return subprocess.run([CRM, *arguments], cwd=repo, env=env, capture_output=True, text=True, check=False)


def test_a_run_carries_its_data_sets_features_and_what_made_it(trained: Any, repo: Path) -> None:
    assert trained.info.status == "FINISHED"
    assert trained.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert not (repo / ".crm" / "mlflow.db").exists()

    tags = trained.data.tags
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, capture_output=True, text=True, check=True).stdout
    answers = json.loads((repo / ".crm.json").read_text())
    assert tags["crm.git_commit"] == commit.strip()
    assert tags["crm.git_dirty"] == "false"
    assert (tags["crm.template"], tags["crm.template_version"]) == ("fraud-realtime", answers["version"])
    assert tags["crm.package_version"] and len(tags["crm.fingerprint"]) == 64
    assert "amount" in trained.data.params["register.features"]

    inputs = {i.dataset.name: i for i in trained.inputs.dataset_inputs}
    roles = {name: {t.key: t.value for t in i.tags}["mlflow.data.context"] for name, i in inputs.items()}
    assert {"train": "training", "tune": "tuning", "test": "evaluation"}.items() <= roles.items()
    source = json.loads(inputs["source"].dataset.source)
    assert source["uri"] == "sim://fraud?rows=3000&days=90"
    for one in inputs.values():
        profile = json.loads(one.dataset.profile)
        assert profile["num_rows"] > 0 and profile["sha256"].startswith(one.dataset.digest)
        assert len(one.dataset.digest) == 36 and json.loads(one.dataset.schema)["columns"]


def test_the_registered_version_carries_the_same_lineage_and_pinned_requirements(
    server: Server, trained: Any, tmp_path: Path
) -> None:
    client = _client(server)
    champion = client.get_model_version_by_alias(SERVICE, "champion")
    assert champion.version == client.get_model_version_by_alias(SERVICE, "challenger").version
    assert champion.run_id == champion.tags["crm.mlflow_run_id"] == trained.info.run_id
    for name in ("git_commit", "git_dirty", "fingerprint", "package_version", "template", "template_version", "seed"):
        assert champion.tags[f"crm.{name}"] == trained.data.tags[f"crm.{name}"]
    pins = champion.tags["pip_requirements"].splitlines()
    assert {pin.partition("==")[0] for pin in pins} >= {"carrental-mlops", "lightgbm", "numpy", "pandas"}

    folder = Registry(server.uri, SERVICE).fetch(champion.version, tmp_path / "model")
    assert (folder / "requirements.txt").read_text().splitlines() == pins
    assert Model.load(folder, champion.tags["digest"]).columns == tuple(champion.tags["features"].split(", "))


def test_the_report_names_what_made_the_model(trained: Any, repo: Path) -> None:
    text = html.unescape((repo / ".crm" / "reports" / f"{trained.data.tags['crm.run_id']}.html").read_text())
    for name in ("git_commit", "fingerprint", "package_version", "template_version"):
        assert trained.data.tags[f"crm.{name}"] in text
    assert trained.info.run_id in text
    digests = {i.dataset.name: i.dataset.digest for i in trained.inputs.dataset_inputs}
    assert digests["train"] in text and digests["test"] in text


def test_a_rerun_from_the_cache_lists_the_same_data_sets(server: Server, trained: Any, repo: Path) -> None:
    code, said = finished(training(8), repo, {"MLFLOW_TRACKING_URI": server.uri})
    assert code == 0 and said.steps["ingest"] == "=", said.said
    again = _newest(server)
    assert again.info.run_id != trained.info.run_id
    told = [{i.dataset.name: i.dataset.digest for i in r.inputs.dataset_inputs} for r in (trained, again)]
    assert told[0] == told[1]
    differs = _crm(server, repo, "runs", "diff", trained.info.run_id, again.info.run_id, "--json")
    assert not {row["kind"] for row in json.loads(differs.stdout)} & {"data", "code"}


def test_a_server_that_stops_half_way_is_named_and_a_rerun_goes_through(
    server: Server, trained: Any, repo: Path
) -> None:
    before = len(_client(server).search_model_versions(f"name = '{SERVICE}'"))
    with started(training(12), repo, {"MLFLOW_TRACKING_URI": server.uri}) as running:
        assert running.wait_for("✓ calibrate"), running.said
        server.stop()
        stopped = time.monotonic()
        code = running.wait()
        lasted = time.monotonic() - stopped
    try:
        assert code == 3, running.said
        assert f"MLflow at {server.uri}" in running.said and "Fix: check the server" in running.said
        assert "Traceback" not in running.said
        assert lasted > 10, "retried with back-off"
        at = time.monotonic()
        down = _crm(server, repo, "runs", "list")
        assert down.returncode == 3 and server.uri in down.stderr
        sys.stdout.write(f"run ended {lasted:.1f} s after the stop, runs list after {time.monotonic() - at:.1f} s\n")
    finally:
        server.start()
    left = _newest(server)
    assert left.info.status == "RUNNING"
    assert len(_client(server).search_model_versions(f"name = '{SERVICE}'")) == before
    code, rerun = finished(training(12), repo, {"MLFLOW_TRACKING_URI": server.uri})
    assert code == 0, rerun.said
    assert rerun.steps["train"] == "="
    assert len(_client(server).search_model_versions(f"name = '{SERVICE}'")) == before + 1
    assert _client(server).get_run(left.info.run_id).info.status == "KILLED"


def test_a_server_that_comes_back_in_time_is_waited_for(server: Server, trained: Any, repo: Path) -> None:
    server.stop()
    later = threading.Timer(3, server.start)
    later.start()
    told = _crm(server, repo, "runs", "list", "--json", MLFLOW_HTTP_REQUEST_MAX_RETRIES="8")
    later.join()
    assert told.returncode == 0, told.stderr
    assert trained.data.tags["crm.run_id"] in told.stdout


def _promote(uri: str, name: str, version: str, expected: str | None, start: Any) -> bool:
    registry = Registry(uri, name)
    registry.champion()
    start.wait(60)
    return registry.promote(version, expected)


def _versions(server: Server, name: str, folder: Path, count: int) -> list[str]:
    registry = Registry(server.uri, name)
    made = []
    for number in range(count):
        (folder / str(number)).mkdir()
        (folder / str(number) / "model.txt").write_text(str(number))
        made.append(registry.register(folder / str(number), f"d{number}", f"run-{number}", {}, {}))
    return made


def test_of_two_processes_that_promote_at_once_one_wins_in_every_round(server: Server, tmp_path: Path) -> None:
    versions, registry = _versions(server, "raced", tmp_path, 2), Registry(server.uri, "raced")
    context, wins = multiprocessing.get_context("spawn"), [0, 0]
    with context.Manager() as manager, context.Pool(2) as pool:
        for _ in range(8):
            now, start = registry.champion(), manager.Barrier(2)
            expected = now.version if now else None
            calls = [(server.uri, "raced", v, expected, start) for v in versions]
            won = pool.starmap(_promote, calls, chunksize=1)
            assert sorted(won) == [False, True]
            champion = registry.champion()
            assert champion is not None
            assert champion.version == versions[won.index(True)]
            wins[won.index(True)] += 1
            _client(server).delete_registered_model_alias("raced", "champion")
    sys.stdout.write(f"rounds won: {wins}\n")
    assert not [m.name for m in _client(server).search_registered_models() if ".lock" in m.name]


_HOLD = """
import sys, time
from carrental_mlops.integrations.mlflow_lock import registry_lock
with registry_lock(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_of_the_lock_is_relieved_at_once_and_a_living_one_waited_for(
    server: Server, tmp_path: Path
) -> None:
    [version] = _versions(server, "held", tmp_path, 1)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, server.uri, "held"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(PlatformError, match=f"held by process {holder.pid}"),
            registry_lock(server.uri, "held", wait_s=2),
        ):
            pass
        holder.kill()
    at = time.monotonic()
    assert Registry(server.uri, "held").promote(version, None)
    assert time.monotonic() - at < 15


def test_a_relieved_holder_neither_writes_nor_frees_the_next_ones_lock(server: Server) -> None:
    client = _client(server)
    client.create_registered_model("slow.lock", tags=identity() | {HOST: "elsewhere", "crm.lock": "their-token"})
    at = time.monotonic()
    with registry_lock(server.uri, "slow", lease_s=1.5) as held:
        assert time.monotonic() - at > 1.5
        assert held()
        with pytest.raises(Exception, match=r"already exists|not found"):
            client.rename_registered_model("slow.lock", "slow.lock.their-token")  # what the slow one does at its end
        assert held()
