"""A row's score has the same bits alone, among many, and wherever it stands: estimators that teams bring."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carrental_mlops.data.model import Calibration, Model

WIDTH = 23
COLUMNS = tuple(f"c{i}" for i in range(WIDTH))
RNG = np.random.default_rng(7)
X = RNG.normal(size=(900, WIDTH)) * np.geomspace(1e-3, 1e4, WIDTH)
Y = (X @ RNG.normal(size=WIDTH) / np.geomspace(1e-3, 1e4, WIDTH).sum() + RNG.normal(size=900) > 0).astype(int)
KNOTS = Calibration((0.1, 0.4, 0.9), (0.0, 0.2, 1.0))


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=12, max_depth=6, random_state=0, n_jobs=2)


def _hist_boosting() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=15, random_state=0)


def _network() -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), MLPClassifier((13,), solver="lbfgs", max_iter=2_000, random_state=0))


def _neighbours() -> Any:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), KNeighborsClassifier(15, weights="distance"))


def _xgboost() -> Any:
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(n_estimators=15, n_jobs=1)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1)


@functools.cache
def _model(make: Any) -> Model:
    return Model(make().fit(X, Y), COLUMNS, KNOTS)


def _columns(matrix: Any) -> dict[str, Any]:
    return {name: matrix[:, i] for i, name in enumerate(COLUMNS)}


MAKERS = [_logistic, _forest, _hist_boosting, _network, _neighbours, _xgboost, _lightgbm]


@pytest.mark.parametrize("make", MAKERS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(n=st.integers(1, 700), seed=st.integers(0, 2**32 - 1), at=st.floats(0, 1))
def test_a_row_scores_the_same_bits_alone_among_many_and_at_any_place(make: Any, n: int, seed: int, at: float) -> None:
    model, rng = _model(make), np.random.default_rng(seed)
    rows = X[rng.integers(0, len(X), n)] + rng.normal(size=(n, WIDTH))
    many, order = model.score(_columns(rows)), rng.permutation(n)
    shuffled = model.score(_columns(rows[order]))
    assert many[order].tobytes() == shuffled.tobytes()
    i = min(int(at * n), n - 1)
    assert model.score(_columns(rows[i : i + 1])).tobytes() == many[i : i + 1].tobytes()


def test_scores_are_the_estimators_own() -> None:
    for make in (_logistic, _forest, _hist_boosting):
        own = _model(make).estimator.predict_proba(X)[:, 1]
        assert np.allclose(Model(_model(make).estimator, COLUMNS).score(_columns(X)), own, rtol=1e-12, atol=0)
