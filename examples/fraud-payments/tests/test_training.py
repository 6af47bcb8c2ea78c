"""Trains once on a few simulated payments, in process, whatever source crm.yaml names."""

from pathlib import Path

import pytest
from carrental_mlops.testing import Check, Rehearsal, Results, check_serving

from fraud_payments.pipelines import FraudTraining
from fraud_payments.service import FraudService

SMALL = ("steps.ingest.source=sim://fraud?rows=12000&days=90", "steps.train.n_estimators=40")
REHEARSAL = Rehearsal(FraudTraining, Path(__file__).parents[1], *SMALL)


@pytest.fixture(scope="module")
def results() -> Results:
    return REHEARSAL.results


@pytest.mark.parametrize("check", REHEARSAL.checks(), ids=str)
def test_each_step_can_be_kept_cached_and_repeated(check: Check) -> None:
    check()


def test_training_ranks_fraud_above_the_rest(results: Results) -> None:
    assert results["evaluate"].metrics["roc_auc"] > 0.7


def test_the_gate_says_why(results: Results) -> None:
    assert results["gate"].checks


def test_the_service_answers_what_training_scored(results: Results) -> None:
    check_serving(FraudService, results["threshold"].model, results["split"].test.head(500), label="is_fraud")
