"""The commands of the rendered CronJob, run as its pod would run them: a repo that cannot be written but for `.crm`."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from batch_jobs import IMAGE
from crm_process import CRM, finished, fraud_repo, training
from releases import release

from carrental_mlops.config import load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.data.simulator import FraudSimulation
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.releases.release import ModelRef
from carrental_mlops.integrations.mlflow import Registry, tracking_uri

_UNSHARE = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not _UNSHARE, reason="needs unshare -m (root) for a read-only mount"),
]
_LARGE = """

from carrental_mlops.pipelines import LargeBatchPipeline
from carrental_mlops.steps import PredictFileStep


class PredictFile(PredictFileStep):
    service = FraudService


class FraudLargeBatch(LargeBatchPipeline):
    predict_file = step(PredictFile)
"""
_NAME = "night-watch"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained repo with a pipeline of large batches, and a file to score."""
    folder = tmp_path_factory.mktemp("batch")
    found = fraud_repo(folder, _NAME)
    pipelines = found / "src" / "night_watch" / "pipelines.py"
    pipelines.write_text(pipelines.read_text() + _LARGE)
    config = found / "config" / "crm.yaml"
    small = config.read_text().replace("sim://fraud", "sim://fraud?rows=3000&days=90")
    config.write_text(small.replace("\nsteps:\n", '\nsteps:\n  predict_file: {source: "inputs/*.parquet"}\n'))
    (found / "inputs").mkdir()
    FraudSimulation(rows=2_000, days=40).frame().to_parquet(found / "inputs" / "rows.parquet")
    code, run = finished(training(10), found)
    assert code == 0, run.said
    return found


def pod_of(repo: Path, *sets: str) -> dict[str, Any]:
    """The pod of the CronJob that the chart makes for this machine's environment."""
    config = repo_config(load(repo, "local", sets))
    champion = Registry(tracking_uri(repo), _NAME).champion()
    assert champion is not None
    model = ModelRef(name=_NAME, version=champion.version, digest=champion.digest)
    made = render(config, "local", release("local-1", model=model)).objects
    (job,) = [one for one in made if one["kind"] == "CronJob"]
    pod: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


def run_container(
    container: dict[str, Any], repo: Path, scratch: Path, state: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Its command, arguments and environment; read-only but for its volumes, where /app is the repo."""
    for mount in container["volumeMounts"]:
        assert mount["name"] in ("tmp", "state", "inputs")
    words = [*container["command"], *container["args"]]
    given = {one["name"]: one["value"] for one in container["env"]} | {"HOME": str(scratch), "TMPDIR": str(scratch)}
    at, kept = shlex.quote(str(repo)), shlex.quote(str(repo / ".crm"))
    disk = kept if state is None else shlex.quote(str(state))
    mounts = f"mount --bind {at} {at} && mount --bind {disk} {kept} && mount -o remount,ro,bind {at} && cd {at}"
    script = f"{mounts} && ! touch written 2>/dev/null && exec {shlex.join(words)}"
    environment = {**os.environ, **given, "PATH": f"{CRM.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = ["unshare", "-m", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)


def answers_of(repo: Path, containers: list[dict[str, Any]], scratch: Path) -> pd.DataFrame:
    """What the containers, one after the other, leave as answers."""
    before = set((repo / ".crm" / "predictions").glob("*"))
    for container in containers:
        done = run_container(container, repo, scratch)
        assert done.returncode == 0, done.stderr
    (answers,) = set((repo / ".crm" / "predictions").glob("*.parquet")) - before
    return pd.read_parquet(answers)


def hold_answers(rows: pd.DataFrame, repo: Path, count: int) -> None:
    """One row for each payment, all by the registry's champion."""
    champion = Registry(tracking_uri(repo), _NAME).champion()
    assert champion is not None
    assert len(rows) == count and rows["payment_id"].is_unique
    assert set(rows["model_version"]) == {champion.version}
    assert rows["score"].between(0, 1).all() and rows["decision"].notna().all()


def test_the_job_writes_the_champions_answers_and_nothing_beside_its_disks(repo: Path, tmp_path: Path) -> None:
    pod = pod_of(repo, f"deploy.batch={{schedule: '0 3 * * *', image: '{IMAGE}'}}")
    assert "initContainers" not in pod
    hold_answers(answers_of(repo, pod["containers"], tmp_path), repo, 3_000)


def test_features_then_large_batch_answer_a_file_of_the_claim(repo: Path, tmp_path: Path) -> None:
    job = f"{{schedule: '0 3 * * *', image: '{IMAGE}', pipelines: [features, large_batch], input_claim: rows}}"
    pod = pod_of(repo, f"deploy.batch={job}")
    assert {"name": "inputs", "mountPath": "/app/inputs", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    hold_answers(answers_of(repo, [*pod["initContainers"], *pod["containers"]], tmp_path), repo, 2_000)


def test_a_job_whose_release_names_another_model_answers_nothing(repo: Path, tmp_path: Path) -> None:
    (container,) = pod_of(repo, f"deploy.batch={{schedule: '0 3 * * *', image: '{IMAGE}'}}")["containers"]
    before = set((repo / ".crm" / "predictions").glob("*"))
    done = run_container({**container, "args": ["--env=local", f"--version=1@{'0' * 64}"]}, repo, tmp_path)
    assert done.returncode == 1 and "version 1 is another model than the one that is named" in done.stderr
    assert set((repo / ".crm" / "predictions").glob("*")) == before


def test_a_job_whose_model_the_registry_lacks_says_so_and_is_not_tried_again(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    config = repo_config(load(repo, "local", (f"deploy.batch={{schedule: '0 3 * * *', image: '{IMAGE}'}}",)))
    (job,) = [one for one in render(config, "local", release("local-1", "1")).objects if one["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    done = run_container(container, repo, tmp_path, tmp_path / "empty")
    assert "model night-watch has no version 1" in done.stderr
    (fails, _) = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert fails["action"] == "FailJob" and done.returncode in fails["onExitCodes"]["values"]
