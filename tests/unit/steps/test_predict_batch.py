"""The batch job answers what the service answers, in chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.features import Arrays, FeatureSet
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ConfigError, ContractError, DataError, OverrideError, PlatformError
from carrental_mlops.serving import ModelService
from carrental_mlops.steps import Champion, PredictConfig, PredictStep
from carrental_mlops.steps.tables import FeatureRows

COLUMNS = Columns(id="id", time="t", label="y", entities=())


class Doubled(FeatureSet):
    request = ("a",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"twice": columns["a"] * 2}


class Service(ModelService):
    feature_set = Doubled


class Predict(PredictStep):
    service = Service


class Half:
    def fit(self, X: object, y: object, sample_weight: object = None) -> None: ...

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - X[:, 0] / 2, X[:, 0] / 2])


MODEL = Model(Half(), ("twice",), threshold=0.5)
ROWS = FeatureRows(pd.DataFrame({"id": range(1001), "a": np.linspace(0, 1, 1001)}, index=range(5, 1006)))


def test_every_row_is_answered_in_order_and_written(tmp_path: Path) -> None:
    context = Context(run_id="r1", root=tmp_path, stores=True)
    found = Predict(PredictConfig(columns=COLUMNS, chunk_rows=100), context).run(
        rows=ROWS, champion=Champion(MODEL, "4")
    )
    assert found["score"].to_numpy() == pytest.approx(ROWS["a"].to_numpy()) and found.index.equals(ROWS.index)
    assert (found["decision"] == np.where(ROWS["a"] >= 0.5, "block", "accept")).all()
    assert set(found["model_version"]) == {"4"} and list(found["id"]) == list(ROWS["id"])
    stored = pd.read_parquet(tmp_path / ".crm" / "predictions" / "r1.parquet")
    pd.testing.assert_frame_equal(stored, found.reset_index(drop=True))


def test_chunks_change_no_answer_and_no_rows_give_no_answers() -> None:
    whole = Predict(PredictConfig(columns=COLUMNS)).run(rows=ROWS, champion=Champion(MODEL, "4"))
    parts = Predict(PredictConfig(columns=COLUMNS, chunk_rows=7)).run(rows=ROWS, champion=Champion(MODEL, "4"))
    pd.testing.assert_frame_equal(whole, parts)
    none = Predict(PredictConfig(columns=COLUMNS)).run(rows=FeatureRows(ROWS[:0]), champion=Champion(MODEL, "4"))
    assert len(none) == 0 and list(none.columns) == list(whole.columns)


def test_a_folder_that_cannot_be_written_is_a_platform_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = PredictConfig(columns=COLUMNS, output="file/out.parquet")
    with pytest.raises(PlatformError, match=r"out\.parquet"):
        Predict(config, Context(root=tmp_path, stores=True)).run(rows=ROWS, champion=Champion(MODEL, "4"))


def test_a_missing_or_odd_field_is_named() -> None:
    with pytest.raises(DataError, match="no field `a`"):
        Service(MODEL).answer({"b": np.ones(2)})
    with pytest.raises(DataError, match="`a` is not numeric"):
        Service(MODEL).answer({"a": np.array(["x"])})


def test_a_service_answers_one_row_as_it_answers_many_bit_for_bit() -> None:
    service, values = Service(MODEL), np.random.default_rng(0).random(50)
    many = service.answer({"a": values}).scores
    assert all(service.answer({"a": values[i : i + 1]}).scores[0] == many[i] for i in range(50))


def test_a_service_must_name_its_features_and_keep_the_path_from_features_to_score() -> None:
    class Unnamed(ModelService):
        pass

    with pytest.raises(ConfigError, match="feature_set = "):
        Unnamed(MODEL)
    with pytest.raises(OverrideError, match="answer"):
        type("Other", (Service,), {"answer": lambda self, request: None})


def test_a_decision_for_each_row_is_asked_for() -> None:
    class Short(Service):
        def decide(self, *, scores: np.ndarray, columns: Arrays) -> np.ndarray:
            return np.array(["accept"])

    with pytest.raises(ContractError, match=r"Short\.decide.* returned 1 values for 3 rows"):
        Short(MODEL).answer({"a": np.ones(3)})
