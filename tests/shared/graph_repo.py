"""A model repo with a node of every kind, its bundles, its stored features, and requests for it."""

from __future__ import annotations

import functools
import sqlite3
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.serving.endpoint import Identity
from carrental_mlops.serving.load import Bundle
from carrental_mlops.serving.online_view import OnlineView

LICENCE = "B072RRE2I55"
"""A driving licence's number, as the renter types it; nobody but the model may see it."""
CUSTOMERS = 50
COLUMNS = ("amount_eur", "rental_days", "hour", "customer_history__count_7d", "customer_history__amount_eur_mean_7d")

_CONFIG = """\
service: payments
package: graph_payments
owner: risk@example.com
tier: 1
environments: [local]
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: [customer_id], amount: amount_eur}
latency_class: batch
slo: {p99_ms: 5000, rps: 10, error_rate: 0.01}
serving:
  deadline_ms: 60000
  drain_s: 0
  audit: {kind: durable, segment_s: 1, clear: [payment_id, paid_at, amount_eur, rental_days]}
  features: {budget_ms: 5000, stale_after_hours: 1000000}
deploy:
  nodes:
    - {name: features, kind: transformer, uses: "carrental_mlops.serving.nodes:FeatureTransformer"}
    - {name: mean, kind: combiner, uses: "carrental_mlops.serving.nodes:Mean"}
    - {name: weighted, kind: combiner, uses: "carrental_mlops.serving.nodes:Weighted", settings: {weights: "2, 1, 1"}}
    - name: by-header
      kind: router
      uses: carrental_mlops.serving.nodes:HeaderRouter
      settings: {header: X-Country, routes: "de=0, fr=1", default: 0, children: 3}
    - name: bandit
      kind: router
      uses: carrental_mlops.serving.nodes:ThompsonRouter
      settings: {children: 3, seed: 1}
    - name: by-model
      kind: router
      uses: carrental_mlops.serving.nodes:ModelRouter
      settings: {routes: "payments=0, payments-fr=1, payments-it=1"}
    - {name: second, kind: model, uses: "carrental_mlops.serving.nodes:OneModel", settings: {bundle: bundles/second}}
    - {name: third, kind: model, uses: "carrental_mlops.serving.nodes:OneModel", settings: {bundle: bundles/third}}
    - {name: many, kind: model, uses: "carrental_mlops.serving.nodes:ManyModels", settings: {folder: countries}}
    - name: drift
      kind: drift_detector
      uses: carrental_mlops.serving.nodes:DriftDetector
      settings: {reference_rows: 100, window_rows: 100, every_rows: 50, forward_to: "http://127.0.0.1:OUTLIER/events"}
    - name: outlier
      kind: outlier_detector
      uses: carrental_mlops.serving.nodes:OutlierDetector
      settings: {reference_rows: 100, share: 0.01, method: mahalanobis, forward_to: "http://127.0.0.1:INDEX/events"}
    - {name: explain, kind: explainer, uses: "carrental_mlops.serving.nodes:ShapExplainer"}
"""
_SERVICE = """\
from datetime import datetime

from carrental_mlops.data.features import Arrays, FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService
from pydantic import Field


class Payment(RowContract):
    payment_id: int
    customer_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    licence: str | None = None
    is_fraud: int | None = None


class Features(FeatureSet):
    history = (History("customer_history", "customer_id", days=(7,), mean=("amount_eur",)),)
    request = ("amount_eur", "rental_days", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"hour": columns["paid_at"] % 86_400 / 3_600}


class PaymentService(ModelService):
    feature_set = Features
    schema = Payment
"""


def graph_repo(root: Path, ports: Mapping[str, int] | None = None) -> Path:
    """A repo with every kind of node, five bundles, and stored features of `CUSTOMERS` customers in SQLite."""
    ports = ports or {"outlier": 1, "index": 1}
    package = root / "src" / "graph_payments"
    package.mkdir(parents=True)
    (root / "config").mkdir()
    text = _CONFIG.replace("OUTLIER", str(ports["outlier"])).replace("INDEX", str(ports["index"]))
    (root / "config" / "crm.yaml").write_text(text)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(_SERVICE)
    online = _stored(root)
    _bundle(root / "bundle", 0, "payments", "1", online)
    for seed, name in enumerate(("second", "third"), 1):
        _bundle(root / "bundles" / name, seed, "payments", str(seed + 1), online)
    for seed, country in enumerate(("payments-fr", "payments-it"), 3):
        _bundle(root / "countries" / country, seed, country, "1", online)
    return root


def _stored(root: Path) -> dict[str, Any]:
    features = ("count_7d", "amount_eur_mean_7d")
    view = OnlineView("customer_history", "customer_id", features, ("count_7d",), False, b"\4", b"", (), "customers")
    folder = root / ".crm" / "feast"
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "online.db") as database:
        database.execute("CREATE TABLE customers (entity_key BLOB, feature_name TEXT, value BLOB, event_ts TEXT)")
        for customer in range(CUSTOMERS):
            for name, number in zip(features, stored_of(customer), strict=True):
                value = b"\x29" + struct.pack("<d", number)
                row = (view.key(customer), name, value, "2026-03-01T00:00:00")
                database.execute("INSERT INTO customers VALUES (?, ?, ?, ?)", row)
    database.close()
    return {"path": ".crm/feast/online.db", "views": [view.to_json()]}


def stored_of(customer: int) -> tuple[float, float]:
    """What the online store holds."""
    return float(customer % 7), 50.0 + customer


def _bundle(folder: Path, seed: int, name: str, version: str, online: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    digest = _model(seed).save(folder)
    Bundle(folder, Identity(name, version, digest), online).write()


@functools.cache
def _model(seed: int) -> Model:
    import lightgbm

    rng = np.random.default_rng(seed)
    n = 1_500
    spread = (rng.uniform(0, 2_000, n), rng.integers(1, 30, n), rng.uniform(0, 24, n))
    rows = np.column_stack([*spread, rng.integers(0, 7, n), rng.uniform(50, 100, n)])
    labels = (rows[:, 0] / 2_000 - rows[:, 3] / 20 + rng.normal(0, 0.3, n) > 0.6).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": seed}
    return Model(LightGbm(lightgbm.train(settings, lightgbm.Dataset(rows, labels), 20 + 5 * seed)), COLUMNS, None, 0.5)


def payment(number: int, amount_eur: float | None = None) -> dict[str, Any]:
    """A request whose amount and customer follow from its number; one in ten is a customer whom nobody knows."""
    rng = np.random.default_rng(number)
    customer = number % CUSTOMERS if number % 10 else 9_000 + number
    fields: dict[str, tuple[str, Any]] = {
        "payment_id": ("INT64", number),
        "customer_id": ("INT64", customer),
        "paid_at": ("BYTES", f"2026-03-01T{number % 24:02d}:30:00Z"),
        "amount_eur": ("FP64", float(rng.uniform(0, 2_000)) if amount_eur is None else amount_eur),
        "rental_days": ("FP64", int(rng.integers(1, 30))),
        "licence": ("BYTES", LICENCE),
    }
    tensors = [{"name": n, "shape": [1], "datatype": k, "data": [v]} for n, (k, v) in fields.items()]
    return {"id": f"request-{number}", "inputs": tensors}
