"""`Model`: one scoring path, native storage, digests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from carrental_mlops.data.model import Calibration, Model
from carrental_mlops.errors import ContractError, DataError

COLUMNS = ("a", "b", "c")
RNG = np.random.default_rng(7)
X = RNG.normal(size=(400, 3))
X[::9, 1] = np.nan
Y = (np.nan_to_num(X).sum(axis=1) + RNG.normal(size=400) > 1).astype(int)
KNOTS = Calibration((0.1, 0.4, 0.4, 0.9), (0.0, 0.1, 0.2, 1.0))


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=30, num_leaves=7, verbose=-1, n_jobs=1).fit(X, Y)


def _forest() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, Y)


MODEL = Model(_lightgbm(), COLUMNS, KNOTS, 0.3)


def _columns(matrix: Any) -> dict[str, Any]:
    return {name: matrix[:, i] for i, name in enumerate(COLUMNS)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=st.floats(width=64)))
def test_one_row_at_a_time_gives_the_same_bits_as_all_at_once(matrix: Any) -> None:
    together = MODEL.score(_columns(matrix))
    alone = np.concatenate([MODEL.score(_columns(matrix[i : i + 1])) for i in range(len(matrix))])
    assert together.tobytes() == alone.tobytes()


def test_score_equals_the_estimators_own_probability() -> None:
    estimator = _lightgbm()
    assert np.array_equal(Model(estimator, COLUMNS).score(_columns(X)), estimator.predict_proba(X)[:, 1])


@pytest.mark.parametrize("make", [_lightgbm, _forest])
def test_a_saved_model_scores_the_same_bits_after_loading(make: Any, tmp_path: Path) -> None:
    model = Model(make(), COLUMNS, KNOTS, 0.25)
    digest = model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m", digest)
    assert loaded.score(_columns(X)).tobytes() == model.score(_columns(X)).tobytes()
    assert (loaded.columns, loaded.calibration, loaded.threshold, loaded.digest) == (COLUMNS, KNOTS, 0.25, digest)


@pytest.mark.parametrize("make", [_lightgbm, _forest])
def test_saving_twice_and_saving_what_was_loaded_gives_one_digest(make: Any, tmp_path: Path) -> None:
    model = Model(make(), COLUMNS)
    first = model.save(tmp_path / "a")
    assert model.save(tmp_path / "b") == first
    assert Model.load(tmp_path / "a").save(tmp_path / "c") == first


def test_loading_refuses_another_digest_and_names_both(tmp_path: Path) -> None:
    digest = MODEL.save(tmp_path)
    with pytest.raises(DataError) as error:
        Model.load(tmp_path, "0" * 64)
    assert digest in str(error.value) and "0" * 64 in str(error.value)


def test_loading_refuses_a_changed_file_and_a_changed_manifest(tmp_path: Path) -> None:
    digest = MODEL.save(tmp_path)
    manifest = tmp_path / "model.json"
    whole = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(whole) | {"threshold": 0.0}))
    with pytest.raises(DataError, match="digest"):
        Model.load(tmp_path, digest)
    manifest.write_text(whole)
    (tmp_path / "model.txt").write_text("tree")
    with pytest.raises(DataError, match=r"model\.txt"):
        Model.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "pickle", "calibration": null, "files": {}}'])
def test_loading_refuses_a_manifest_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError):
        Model.load(tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        Model.load(tmp_path / "nowhere")


def test_an_estimator_that_needs_its_own_code_is_not_stored(tmp_path: Path) -> None:
    class Own:
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any: ...
        def predict_proba(self, X: Any) -> Any: ...

    with pytest.raises(ContractError, match="Own"):
        Model(Own(), COLUMNS).save(tmp_path)


def test_a_missing_or_textual_column_is_named() -> None:
    with pytest.raises(DataError, match="'c'"):
        MODEL.score({"a": [1.0], "b": [1.0]})
    with pytest.raises(DataError, match="not numeric"):
        MODEL.score({"a": ["x"], "b": [1.0], "c": [1.0]})


def test_changed_copies_leave_the_model_as_it_is() -> None:
    assert (MODEL.at(0.9).threshold, MODEL.calibrated(None).calibration) == (0.9, None)
    assert (MODEL.threshold, MODEL.calibration) == (0.3, KNOTS)


@pytest.mark.parametrize(("x", "y"), [((0.0,), ()), ((1.0, 0.0), (0.0, 1.0)), ((0.0, float("nan")), (0.0, 1.0))])
def test_a_calibration_that_cannot_be_is_refused(x: Any, y: Any) -> None:
    with pytest.raises(ContractError, match="Calibration"):
        Calibration(x, y)


def test_a_pipeline_with_an_imputer_is_stored_and_scores_the_same_bits(tmp_path: Path) -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = Model(make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(X, Y), COLUMNS)
    digest = model.save(tmp_path)
    assert Model.load(tmp_path, digest).score(_columns(X)).tobytes() == model.score(_columns(X)).tobytes()
