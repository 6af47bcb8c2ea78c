"""Training, batch and service see the same stored features and answer the same bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from background_program import free_port
from conftest import Client, request_of
from online_parts import NOW, Features, Filled, RedisServer, tables, team_views
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.config.serving import Serving
from carrental_mlops.data.features import Arrays
from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.integrations.feast import join_historical
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.app import App
from carrental_mlops.serving.endpoint import Endpoint, Identity
from carrental_mlops.serving.signature import Signature

pytestmark = pytest.mark.slow

COLUMNS = Columns(id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id",))


class Rental(RowContract):
    """What a request must look like."""

    customer_id: int | None = None
    branch: str | None = None
    car_id: int | None = None
    amount_eur: float = Field(ge=0)


class RentalFeatures(Features):
    """Stored features, and two computed from them."""

    request = ("amount_eur",)

    def compute(self, *, columns: Arrays) -> Arrays:
        """How unusual the amount is."""
        mean = columns["customer_history__amount_mean_7d"]
        return {
            "amount_ratio": columns["amount_eur"] / np.where(mean > 0, mean, np.nan),
            "per_count": np.log1p(columns["amount_eur"]) / (1 + columns["branch_history__count_7d"]),
        }


class RentalService(ModelService):
    """As generated."""

    feature_set = RentalFeatures
    schema = Rental


def payments(n: int) -> pd.DataFrame:
    """Rows after the newest snapshot; some entities are unknown or missing."""
    r = np.random.default_rng(7)
    branches = np.array(["b1", "b7", "Ω München", "nowhere", None], dtype=object)
    return pd.DataFrame(
        {
            "payment_id": np.arange(n),
            "paid_at": NOW + pd.Timedelta(hours=1),
            "customer_id": pd.array(r.integers(0, 340, n), dtype="Int64"),
            "branch": branches[r.integers(0, len(branches), n)],
            "car_id": pd.array(r.integers(0, 60, n), dtype="Int64"),
            "amount_eur": np.round(r.gamma(2, 60, n), 2),
        }
    )


def trained(rows: Arrays, service: type[ModelService]) -> Model:
    """A model that uses every feature."""
    import lightgbm

    columns = {**rows, **service.feature_set().compute(columns=rows)}
    names = tuple(columns)
    table = np.column_stack([columns[name] for name in names])
    r = np.random.default_rng(0)
    labels = (r.random(len(table)) < 0.3 + 0.4 * (columns["amount_eur"] > 100)).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return Model(LightGbm(lightgbm.train(settings, lightgbm.Dataset(table, labels), 40)), names, threshold=0.5)


@pytest.fixture(params=["sqlite", "redis"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filled]:
    if request.param == "sqlite":
        yield Filled(tmp_path)
        return
    server = RedisServer(tmp_path)
    yield Filled(tmp_path, server.url)
    server.stop()


@pytest.mark.parametrize("n", [200, pytest.param(10_000, marks=pytest.mark.e2e)])
def test_the_served_answers_are_the_batch_jobs_bit_for_bit(
    filled: Filled, n: int, served: Callable[[App], Client]
) -> None:
    rows = payments(n)
    root = filled.context.root
    joined = join_historical(filled.context, RentalFeatures, tables(), rows, COLUMNS, team_views(root))
    offline = {name: joined[name].to_numpy(np.float64, na_value=np.nan) for name in RentalService.fields()}
    model = trained(offline, RentalService)
    digest = model.save(root / "model")
    batch = RentalService(model).answer(offline)

    loaded = RentalService(Model.load(root / "model", digest))
    settings = Serving(port=free_port(), deadline_ms=60_000, drain_s=0)
    endpoint = Endpoint(Identity("payments", "1", digest), loaded, Signature(Rental), settings, filled.reader())
    client = served(App(endpoint, filled.metrics))
    scores, decisions = served_answers(client, rows)
    np.testing.assert_array_equal(np.array(scores).view(np.int64), batch.scores.view(np.int64))
    assert decisions == batch.decisions.tolist()
    assert len(set(scores)) > n / 4


def served_answers(client: Client, rows: pd.DataFrame) -> tuple[list[float], list[str]]:
    """One row a request for a tenth of them, then up to 400."""
    kinds = {"branch": "BYTES", "customer_id": "INT64", "car_id": "INT64", "amount_eur": "FP64"}
    cuts = [*range(0, len(rows) // 10), *range(len(rows) // 10, len(rows), 400), len(rows)]
    scores: list[float] = []
    decisions: list[str] = []
    for start, end in itertools.pairwise(cuts):
        part = rows.iloc[start:end]
        values: dict[str, list[Any]] = {
            name: [None if pd.isna(value) else value for value in part[name].tolist()] for name in kinds
        }
        body = request_of(**values)
        for tensor in body["inputs"]:
            tensor["datatype"] = kinds[tensor["name"]]
        status, answer = client.infer(body)
        assert status == 200, answer
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        scores += outputs["score"]
        decisions += outputs["decision"]
    return scores, decisions
