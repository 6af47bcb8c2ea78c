"""The template's MLproject run by MLflow itself, and the model that it registers made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from carrental_mlops.data.simulator import FraudSimulation
from carrental_mlops.scaffold.render import new_repo

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]
CRM = [sys.executable, "-c", "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return os.environ | {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _run(repo: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A rendered repo, trained once by `mlflow run` on a file of its own."""
    root = new_repo("fraud-realtime", {"name": "night-watch", "tier": "2"}, tmp_path_factory.mktemp("rendered")).path
    (root / "data").mkdir()
    FraudSimulation(rows=30_000).frame().to_parquet(root / "data" / "payments.parquet")
    source = _run(root, environment, *CRM, "config", "set", "steps.ingest.source=data/payments.parquet")
    assert source.returncode == 0, source.stderr
    done = _run(
        root, environment, sys.executable, "-m", "mlflow", "run", ".", "-e", "training", "--env-manager", "local"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def test_mlflow_run_registers_a_champion_in_the_repos_own_store(repo: Path, environment: dict[str, str]) -> None:
    runs = json.loads(_run(repo, environment, *CRM, "runs", "list", "--json").stdout)
    trained = [r for r in runs if r["pipeline"] == "training"]
    assert [r["status"] for r in trained] == ["FINISHED"]
    assert trained[0]["params"]["register.model_alias"] == "champion"


def test_reproduce_is_equal_then_names_the_data_that_changed(repo: Path, environment: dict[str, str]) -> None:
    equal = _run(repo, environment, *CRM, "reproduce", "night-watch@champion", "--json")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    made = json.loads(equal.stdout)
    assert made["equal"] and made["recorded"] == made["now"] and made["differences"] == []

    path = repo / "data" / "payments.parquet"
    pd.read_parquet(path).iloc[:-2_000].to_parquet(path)
    config = _run(repo, environment, *CRM, "config", "set", "steps.train.learning_rate=0.2")
    assert config.returncode == 0, config.stderr
    other = _run(repo, environment, *CRM, "reproduce", "night-watch@1", "--json")
    assert other.returncode == 1, other.stdout + other.stderr
    differs = {(d["kind"], d["name"]): d for d in json.loads(other.stdout)["differences"]}
    assert ("data", "ingest.output") in differs
    assert differs["config", "steps.train.learning_rate"]["now"] == "0.2"
