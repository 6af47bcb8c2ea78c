"""An MLflow that only crm.yaml names is the one that steps read, in process too."""

from __future__ import annotations

from pathlib import Path
from typing import final

import pandas as pd
import pytest

from carrental_mlops.core import Context, Pipeline, Step, step
from carrental_mlops.core.repo import open_repo
from carrental_mlops.data.model import Model
from carrental_mlops.integrations.mlflow import Tracker, has_registry
from carrental_mlops.orchestration.launch import Request, launch
from carrental_mlops.steps import (
    Champion,
    ChampionStep,
    Comparison,
    Evaluation,
    RegisterConfig,
    RegisterStep,
    Verdict,
)
from carrental_mlops.steps.row_count import row_limits
from carrental_mlops.steps.tables import TrainRows
from carrental_mlops.testing.results import run_pipeline

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIG = """\
service: svc
package: tracked_repo
owner: team@example.com
tier: 3
environments: [local]
columns: {id: row_id, time: at, label: is_bad, entities: [customer_id]}
mlflow: {tracking_uri: "URI"}
"""


class Tell(Step):
    @final
    def run(self) -> str:
        return str(self.context.tracking_uri)


class Told(Pipeline):
    name = "told"
    tell = step(Tell)

    def build(self) -> None:
        self.tell.run()


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store away from any repo, with a champion and a run that ended well."""
    from lightgbm import LGBMClassifier

    store = tmp_path_factory.mktemp("server")
    uri = f"sqlite:///{store}/theirs.db"
    context = Context("run-1", "training", "ingest", "svc", root=store, stores=True, tracking_uri=uri)
    context.metric("rows_read", 1000)
    context.param("source", "data.csv")
    data = pd.DataFrame({"a": [float(n) for n in range(60)], "y": [n % 2 for n in range(60)]})
    model = Model(LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(data[["a"]].to_numpy(), data["y"]), ("a",))
    tracker = Tracker(uri, "svc", "run-1")
    with tracker.running(context, {}):
        tracker.record(context)
        RegisterStep(RegisterConfig(), context).run(
            model=model,
            train=TrainRows(data),
            evaluation=Evaluation({"roc_auc": 0.9}, rows=10, positives=2, champion=Comparison()),
            verdict=Verdict(True, (), promote=True),
            champion=Champion(),
        )
    return uri


def test_the_champion_and_the_usual_rows_come_from_the_configured_server(uri: str, tmp_path: Path) -> None:
    context = Context("run-2", "training", "ingest", "svc", root=tmp_path, tracking_uri=uri)
    assert ChampionStep(context=context).run().version == "1"
    limits = row_limits(context, "data.csv", None, 5.0)
    assert (limits.usual, limits.run_id) == (1000, "run-1")
    assert not (tmp_path / ".crm").exists()


def test_a_store_that_is_not_there_is_not_made_by_asking(tmp_path: Path) -> None:
    context = Context(service="svc", root=tmp_path, tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert not has_registry(context)
    assert ChampionStep(context=context).run().model is None
    assert list(tmp_path.iterdir()) == []
    assert has_registry(Context(root=tmp_path, tracking_uri="https://mlflow.example"))


def test_a_run_in_process_tells_its_steps_of_the_server_that_crm_yaml_names(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "crm.yaml").write_text(CONFIG.replace("URI", "https://mlflow.example"))
    package = tmp_path / "src" / "tracked_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "pipelines.py").write_text(f"from {__name__} import Told as Told\n")
    repo = open_repo(tmp_path)
    assert launch(repo, Request("told", engine="local")).load("tell") == "https://mlflow.example"
    assert run_pipeline(Told, tmp_path)["tell"] == "https://mlflow.example"
    assert repo.context("local", 9).seed == 9
