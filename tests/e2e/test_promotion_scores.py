"""A release scored against the champion before it is promoted: holdout and newest labelled window of a real repo."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from crm_process import CRM, fraud_repo, training

from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.orchestration.rescore import Difference, compare

pytestmark = pytest.mark.e2e
ROWS = "steps.ingest.source=sim://fraud?rows=12000&days=90"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> ModelRepo:
    """Version 1 with one tree that knows little, version 2 with 150."""
    root: Path = fraud_repo(tmp_path_factory.mktemp("scored"))
    for arguments in (training(1, "--set", ROWS), training(150, "--set", ROWS)):
        subprocess.run([str(CRM), *arguments], cwd=root, check=True, capture_output=True)
    rules = ("average_precision=0.01", "log_loss=0.0005")
    return open_repo(root, None, (ROWS, *(f"steps.gate.no_worse_than_champion.{rule}" for rule in rules)))


def by_metric(found: list[Difference]) -> dict[tuple[str, str], Difference]:
    return {(one.window, one.metric): one for one in found}


def test_a_better_release_is_beyond_no_loss_and_a_worse_one_is(repo: ModelRepo) -> None:
    told: list[str] = []
    ours = by_metric(compare(repo, "2", "1", told.append))
    assert {window for window, _ in ours} == {"holdout", "newest labelled"}
    assert {metric for _, metric in ours} >= {"average_precision", "log_loss"}
    back = by_metric(compare(repo, "1", "2", told.append))
    for key, one in ours.items():
        assert one.low <= one.high
        assert (back[key].low, back[key].high) == pytest.approx((-one.high, -one.low))
    assert sum(one.beyond for one in ours.values()) != sum(one.beyond for one in back.values())
    assert told


def test_a_model_is_never_beyond_itself(repo: ModelRepo) -> None:
    assert not any(one.beyond for one in compare(repo, "2", "2", lambda text: None))
