"""Trains on simulated payments, in process; whatever source crm.yaml names."""

from pathlib import Path

import numpy as np
from carrental_mlops.testing import run_pipeline

from {{ cookiecutter.package }}.pipelines import FraudTraining

SMALL = "steps.ingest.source=sim://fraud?rows=8000&days=90"


def test_training_measures_and_judges_a_model(repo: Path) -> None:
    results = run_pipeline(FraudTraining, repo, SMALL)
    assert results["evaluate"].metrics["roc_auc"] > 0.7
    assert results["gate"].checks


def test_a_second_training_gives_the_same_scores(repo: Path) -> None:
    first, second = (run_pipeline(FraudTraining, repo, SMALL) for _ in range(2))
    test = first["split"].test
    assert np.array_equal(first["threshold"].score(test), second["threshold"].score(test))
