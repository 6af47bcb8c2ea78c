"""Trains once on a few simulated payments, in process, whatever source crm.yaml names."""

from pathlib import Path

import numpy as np
import pytest
from carrental_mlops.testing import Results, run_pipeline

from fraud_payments.pipelines import FraudTraining
from fraud_payments.service import FraudService


@pytest.fixture(scope="module")
def results(repo: Path) -> Results:
    small = ("steps.ingest.source=sim://fraud?rows=12000&days=90", "steps.train.n_estimators=40")
    return run_pipeline(FraudTraining, repo, *small)


def test_training_ranks_fraud_above_the_rest(results: Results) -> None:
    assert results["evaluate"].metrics["roc_auc"] > 0.7


def test_the_gate_says_why(results: Results) -> None:
    assert results["gate"].checks


def test_the_service_answers_what_training_scored(results: Results) -> None:
    rows, model = results["split"].test, results["threshold"].model
    answer = FraudService(model).answer({name: rows[name].to_numpy() for name in FraudService.fields()})
    assert np.array_equal(answer.scores, model.score(rows))
