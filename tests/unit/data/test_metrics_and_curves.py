"""Metrics agree with scikit-learn; the bootstrap is paired, repeatable and covers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from carrental_mlops.data.measures.curves import curves
from carrental_mlops.data.measures.drift import bins_from_json, bins_to_json, profile, stability_index
from carrental_mlops.data.measures.metrics import Scored, bootstrap, point


def scored(n: int = 500, seed: int = 0, noise: float = 1.0, ties: bool = False) -> Scored:
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.2).astype(float)
    score = 1 / (1 + np.exp(-(2 * label - 1 + noise * rng.normal(size=n))))
    score = np.round(score, 1) if ties else score
    return Scored(label, score, 0.5, np.full(n, 100.0), np.full(n, 5.0))


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learns(ties: bool) -> None:
    s = scored(ties=ties)
    found, flagged = point(s), s.score >= 0.5
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(s.label, s.score))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(s.label, s.score))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(s.label, s.score))
    assert found["precision"] == pytest.approx(sk.precision_score(s.label, flagged))
    assert found["recall"] == pytest.approx(sk.recall_score(s.label, flagged))
    misses, alarms = (s.label == 1) & ~flagged, (s.label == 0) & flagged
    assert found["cost_eur_per_1000"] == pytest.approx(2 * (100 * misses.sum() + 5 * alarms.sum()))
    if not ties:
        assert found["log_loss"] == pytest.approx(sk.log_loss(s.label, s.score))


def test_weights_count_rows_as_often_as_they_say() -> None:
    s = scored(60)
    weights = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    again = np.repeat(np.arange(60), weights.astype(int))
    found = s.measure(weights[None])
    assert found["roc_auc"][0] == pytest.approx(sk.roc_auc_score(s.label[again], s.score[again]))
    assert found["average_precision"][0] == pytest.approx(sk.average_precision_score(s.label[again], s.score[again]))


def test_an_undefined_metric_is_nan_and_not_an_error() -> None:
    found = point(Scored(np.zeros(5), np.linspace(0, 0.4, 5), 0.9))
    assert np.isnan(found["roc_auc"]) and np.isnan(found["average_precision"]) and np.isnan(found["precision"])
    assert "cost_eur_per_1000" not in found


def test_the_bootstrap_is_repeatable_and_a_model_does_not_differ_from_itself() -> None:
    s = scored()
    one, two = (bootstrap({"a": s, "b": s}, 20, seed=3) for _ in range(2))
    assert np.array_equal(one["a"]["roc_auc"], two["a"]["roc_auc"])
    assert np.array_equal(one["a"]["average_precision"], one["b"]["average_precision"])
    assert not np.array_equal(one["a"]["roc_auc"], bootstrap({"a": s}, 20, seed=4)["a"]["roc_auc"])


def test_intervals_hold_the_truth_about_as_often_as_they_claim() -> None:
    truth = point(scored(100_000, seed=99))["roc_auc"]
    covered = 0
    for seed in range(40):
        low, high = np.quantile(bootstrap({"a": scored(300, seed)}, 100, seed)["a"]["roc_auc"], [0.05, 0.95])
        covered += low <= truth <= high
    assert 30 <= covered <= 40  # 36 expected


def test_curves_are_thin_monotone_and_end_where_they_must() -> None:
    s = scored(5000)
    found = curves(s.label, s.score)
    assert set(found) == {"pr", "roc", "calibration"}
    assert all(len(c.x) == len(c.y) <= 100 for c in found.values())
    assert (found["roc"].x[0], found["roc"].y[-1]) == (0.0, 1.0) and list(found["roc"].y) == sorted(found["roc"].y)
    assert found["pr"].x[-1] == 1.0
    assert curves(np.zeros(3), np.ones(3)) == {}


def test_stability_index_is_near_zero_for_the_same_data_and_large_for_moved_data() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=5000), "constant": 1.0})
    spread = bins_from_json(bins_to_json(profile(rows, ["a", "constant"])))
    assert spread == profile(rows, ["a", "constant"])
    assert stability_index(spread["a"], rng.normal(size=5000)) < 0.02
    assert stability_index(spread["a"], rng.normal(1, 1, 5000)) > 0.25
    assert stability_index(spread["a"], np.full(10, np.nan)) > 1
    assert stability_index(spread["constant"], np.ones(10)) == pytest.approx(0)
    assert np.isnan(stability_index(spread["a"], np.empty(0)))
