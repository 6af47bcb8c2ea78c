"""Calibration helps and keeps the ranking; the threshold is the cheapest one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ContractError
from carrental_mlops.steps import CalibrateConfig, CalibrateStep, ThresholdConfig, ThresholdStep
from carrental_mlops.steps.tables import TestRows, TuneRows
from carrental_mlops.steps.threshold import cheapest

COLUMNS = Columns(id="id", time="t", label="y", entities=(), amount="eur")


class Squared:
    """Scores x with x squared: overconfident where P(y) is x."""

    def fit(self, X: object, y: object, sample_weight: object = None) -> None: ...

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - X[:, 0] ** 2, X[:, 0] ** 2])


def rows(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    return pd.DataFrame({"x": x, "y": (rng.random(n) < x).astype("int8"), "eur": rng.uniform(10, 100, n)})


MODEL = Model(Squared(), ("x",))


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_calibration_brings_scores_to_observed_rates_and_changes_no_ranking(method: str) -> None:
    step = CalibrateStep(CalibrateConfig(columns=COLUMNS, method=method))
    model = step.run(model=MODEL, tune=TuneRows(rows()))
    test = rows(seed=1)
    before, after = MODEL.score(test), model.score(test)
    assert step.context.metrics["tune_brier"] < step.context.metrics["tune_brier_raw"]
    assert np.mean((after - test["y"]) ** 2) < np.mean((before - test["y"]) ** 2)
    assert np.array_equal(np.argsort(before), np.argsort(after))
    assert after.min() > 0 and after.max() < 1


def test_too_few_positives_keep_raw_scores_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    step = CalibrateStep(CalibrateConfig(columns=COLUMNS), Context())
    model = step.run(model=MODEL, tune=TuneRows(rows(20)))
    assert model.calibration is None and "only" in step.context.params["calibration"]
    assert "raw scores kept" in caplog.text


def test_a_calibrator_without_fit_is_refused_by_name() -> None:
    class Wrong(CalibrateStep):
        def calibrator(self):  # type: ignore[no-untyped-def]
            return 3

    with pytest.raises(ContractError, match=r"Wrong\.calibrator"):
        Wrong(CalibrateConfig(columns=COLUMNS)).run(model=MODEL, tune=TuneRows(rows()))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=30))
def test_no_threshold_costs_less_than_the_one_found(cases: list[tuple[int, bool, float, float]]) -> None:
    score, label, missed, alarm = (np.array(c, dtype=float) for c in zip(*cases, strict=True))
    score /= 5

    def cost(t: float) -> float:
        return float(np.where(label == 1, missed * (score < t), alarm * (score >= t)).sum())

    threshold, least = cheapest(score, label, missed, alarm)
    assert cost(threshold) == pytest.approx(least)
    assert all(least <= cost(t) + 1e-9 for t in [*score, 2.0])


def test_costs_of_the_test_rows_go_with_the_model_and_dear_misses_lower_the_threshold() -> None:
    class Dear(ThresholdStep):
        def costs(self, *, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
            missed, alarm = super().costs(rows=rows)
            return missed * 100, alarm

    test, config = TestRows(rows(50, 2)), ThresholdConfig(columns=COLUMNS)
    usual = ThresholdStep(config).run(model=MODEL, tune=TuneRows(rows()), test=test)
    dear = Dear(config).run(model=MODEL, tune=TuneRows(rows()), test=test)
    assert dear.model.threshold < usual.model.threshold
    assert np.allclose(dear.costs["missed_eur"], test["eur"] * 100) and (dear.costs["false_alarm_eur"] == 5).all()


def test_negative_costs_are_refused() -> None:
    class Negative(ThresholdStep):
        def costs(self, *, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
            return np.full(len(rows), -1.0), np.ones(len(rows))

    with pytest.raises(ContractError, match="negative or not finite"):
        Negative(ThresholdConfig(columns=COLUMNS)).run(model=MODEL, tune=TuneRows(rows()), test=TestRows(rows(9)))
