"""A small service, and its real server on a free port."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from background_program import free_port
from pydantic import Field

from carrental_mlops.config.serving import Serving
from carrental_mlops.data.features import Arrays, FeatureSet
from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.app import App
from carrental_mlops.serving.auth import Door
from carrental_mlops.serving.endpoint import Endpoint, Identity
from carrental_mlops.serving.signature import Signature
from carrental_mlops.serving.telemetry import Metrics

IDENTITY = Identity("payments", "3", "d" * 64)


class Payment(RowContract):
    """What a request must look like."""

    customer_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    note: str | None = None
    is_fraud: int | None = None


class PaymentFeatures(FeatureSet):
    """Amount, duration, and the hour of day."""

    request = ("amount_eur", "rental_days", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        """The hour of day (UTC)."""
        return {"hour": columns["paid_at"] % 86_400 / 3_600}


class PaymentService(ModelService):
    """As generated."""

    feature_set = PaymentFeatures
    schema = Payment


@pytest.fixture(scope="session")
def model() -> Model:
    """Trained on made-up rows."""
    import lightgbm

    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(0, 2_000, 4_000), rng.integers(1, 30, 4_000), rng.uniform(0, 24, 4_000)])
    labels = (rows[:, 0] / 2_000 + rng.normal(0, 0.3, 4_000) > 0.8).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), 30)
    return Model(LightGbm(booster), ("amount_eur", "rental_days", "hour"), threshold=0.5)


@pytest.fixture(scope="session")
def make_app(model: Model) -> Callable[..., App]:
    """An application with settings of the test's own."""

    def make(service: type[ModelService] = PaymentService, **settings: Any) -> App:
        endpoint = Endpoint(
            IDENTITY,
            service(model),
            Signature(service.schema, without=("is_fraud",)),
            Serving(**{"port": free_port(), "deadline_ms": 5_000, "drain_s": 0, **settings}),
        )
        return App(endpoint, Metrics(IDENTITY.name, IDENTITY.version, IDENTITY.digest))

    return make


class Client:
    """http.client with JSON."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, path, sent, {k.replace("_", "-"): v for k, v in headers.items()})
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def infer(self, body: bytes | dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """(status, document) of an inference."""
        status, _, reply = self.ask("POST", "/v2/models/payments/infer", body, **headers)
        return status, json.loads(reply)


@pytest.fixture
def served() -> Iterator[Callable[[App], Client]]:
    """Runs an application in its real server, in a thread, until the test ends."""
    from carrental_mlops.serving.server import Server, config_of

    running = []

    def start(app: App) -> Client:
        server = Server(config_of(app), app)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        return Client(app.endpoint.settings.port)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


def request_of(**fields: list[Any]) -> dict[str, Any]:
    """A request with one tensor a field; datatypes as the service's metadata has them."""
    kinds = {"customer_id": "INT64", "paid_at": "BYTES", "note": "BYTES"}
    tensors = [{"name": n, "shape": [len(v)], "datatype": kinds.get(n, "FP64"), "data": v} for n, v in fields.items()]
    return {"inputs": tensors}


@pytest.fixture
def payment_service() -> type[ModelService]:
    """The service that `make_app` takes by default."""
    return PaymentService


@pytest.fixture
def payment() -> dict[str, Any]:
    """A request that is answered."""
    return request_of(customer_id=[7], paid_at=["2026-03-01T10:30:00Z"], amount_eur=[120.5], rental_days=[3])


@pytest.fixture
def guarded(make_app: Callable[..., App], served: Any) -> Callable[..., Any]:
    def start(door: Door | None, **settings: Any) -> Any:
        app = make_app(**settings)
        return served(App(app.endpoint, app.metrics, door))

    return start
