"""A small real service for load tests, in a process of its own.

`python loadtest_service.py PORT`, or, with the row contract of a repo: `… PORT NAME SRC MODULE:CLASS`.
"""

from __future__ import annotations

import importlib
import sys
from datetime import datetime
from typing import Literal

import lightgbm
import numpy as np
from pydantic import Field

from carrental_mlops.config.serving import Serving
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.app import App
from carrental_mlops.serving.endpoint import Endpoint, Identity
from carrental_mlops.serving.server import bound, serve
from carrental_mlops.serving.signature import Signature
from carrental_mlops.serving.telemetry import Metrics


class Payment(RowContract):
    customer_id: int = Field(gt=0, lt=1_000)
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    channel: Literal["web", "desk"] = "web"
    note: str | None = Field(default=None, min_length=10, max_length=20)
    is_fraud: int | None = None


class PaymentFeatures(FeatureSet):
    request = ("amount_eur", "rental_days")


class PaymentService(ModelService):
    feature_set = PaymentFeatures
    schema = Payment


def main(port: int, name: str = "payments", schema: type[RowContract] = Payment) -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(0, 2_000, 500), rng.integers(1, 30, 500)])
    labels = (rows[:, 0] > 1_600).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), 5)
    model = Model(LightGbm(booster), ("amount_eur", "rental_days"), threshold=0.5)
    settings = Serving(port=port, queue=1_000, deadline_ms=5_000, drain_s=0)
    signature = Signature(schema, without=("is_fraud",))
    endpoint = Endpoint(Identity(name, "3", "d" * 64), PaymentService(model), signature, settings)
    serve(App(endpoint, Metrics(name, "3", "d" * 64)), bound(settings))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(int(sys.argv[1]))
    else:
        port, name, source, place = sys.argv[1:]
        sys.path.insert(0, source)
        module, _, contract = place.partition(":")
        main(int(port), name, getattr(importlib.import_module(module), contract))
