"""The default pipelines, end to end in process on a few thousand simulated payments."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from small_fraud_repo import Batch, Service, Tables, Training, configs

from carrental_mlops.core import Context, RunSummary, run_in_process
from carrental_mlops.errors import DataError
from carrental_mlops.steps import Evaluation, Registration, Report, Split, Thresholded, Verdict


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSummary, dict[str, Path], Path]:
    root = tmp_path_factory.mktemp("repo")
    artefacts: dict[str, Path] = {}
    context = Context(run_id="r1", root=root, service="fraud")
    summary = run_in_process(Training, configs(Training, calibrate={"min_positives": 5}), context)
    return summary, artefacts, root


def test_training_gives_a_verdict_and_a_model_better_than_chance(
    trained: tuple[RunSummary, dict[str, Path], Path],
) -> None:
    summary, _, _ = trained
    verdict, evaluation = summary.load("gate"), summary.load("evaluate")
    assert isinstance(verdict, Verdict) and verdict.passed and verdict.promote
    assert isinstance(evaluation, Evaluation)
    assert evaluation.metrics["roc_auc"] > 0.6
    assert evaluation.intervals["roc_auc"].low < evaluation.metrics["roc_auc"] < evaluation.intervals["roc_auc"].high
    assert evaluation.metrics["cost_eur_per_1000"] > 0
    assert all(len(curve.x) <= 100 for curve in evaluation.curves.values())
    assert len(evaluation.segments) == 4
    assert summary.metrics()["average_precision"] == evaluation.metrics["average_precision"]


def test_a_run_in_process_stores_nothing(trained: tuple[RunSummary, dict[str, Path], Path]) -> None:
    summary, _, root = trained
    registration, report = summary.load("register"), summary.load("report")
    assert isinstance(registration, Registration) and registration.version is None
    assert re.fullmatch("[0-9a-f]{64}", registration.digest)
    assert isinstance(report, Report) and report.path == "" and report.drift
    assert list(root.iterdir()) == []


def test_the_service_answers_what_training_measured(trained: tuple[RunSummary, dict[str, Path], Path]) -> None:
    summary, _, _ = trained
    candidate, parts = summary.load("threshold"), summary.load("split")
    assert isinstance(candidate, Thresholded) and isinstance(parts, Split)
    service = Service(candidate.model)
    answer = service.answer({name: parts.test[name].to_numpy() for name in service.fields()})
    assert np.array_equal(answer.scores, candidate.model.score(parts.test))
    assert set(answer.decisions) <= {"accept", "block"}


def test_a_batch_without_a_champion_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="crm run training"):
        run_in_process(Batch, configs(Batch), Context(root=tmp_path))


def test_the_features_pipeline_materialises_nothing_in_process(tmp_path: Path) -> None:
    done = run_in_process(Tables, configs(Tables), Context(root=tmp_path)).load("materialise")
    assert not done.stored and done.rows["customer"] > 0 and list(tmp_path.iterdir()) == []
