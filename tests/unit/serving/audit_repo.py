"""A small model repo with a service, its models, and the service as a process of its own."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.serving.endpoint import Identity
from carrental_mlops.serving.load import Bundle
from carrental_mlops.serving.vault import new_key

CONFIG = """\
service: payments
package: {package}
owner: team@example.com
tier: 1
environments: [local]
columns: {{id: payment_id, time: paid_at, label: is_fraud, entities: [customer_id], amount: amount_eur}}
slo: {{p99_ms: 5000, rps: 10, error_rate: 0.01}}
latency_class: batch
serving:
  deadline_ms: 20000
  drain_s: 0
  audit: {{kind: {kind}, clear: [amount_eur], input_key_file: key, segment_s: {segment_s}}}
"""
SERVICE = """\
from datetime import datetime

from carrental_mlops.data.features import Arrays, FeatureSet
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService
from pydantic import Field


class Payment(RowContract):
    payment_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0)
    iban: str | None = None
    is_fraud: int | None = None


class Features(FeatureSet):
    request = ("amount_eur", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"hour": columns["paid_at"] % 86_400 / 3_600}


class PaymentService(ModelService):
    feature_set = Features
    schema = Payment
"""
_numbers = itertools.count()


def model_of(seed: int, threshold: float = 0.5) -> Model:
    """Trained on made-up payments."""
    import lightgbm

    rng = np.random.default_rng(seed)
    rows = np.column_stack([rng.uniform(0, 2_000, 2_000), rng.uniform(0, 24, 2_000)])
    labels = (rows[:, 0] / 2_000 + rng.normal(0, 0.3, 2_000) > 0.8).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    return Model(
        LightGbm(lightgbm.train(settings, lightgbm.Dataset(rows, labels), 20)), ("amount_eur", "hour"), None, threshold
    )


def make_repo(root: Path, kind: str = "durable", segment_s: float = 60) -> Path:
    """A model repo whose package has a name of its own."""
    package = f"audited_{os.getpid()}_{next(_numbers)}"
    source = root / "src" / package
    source.mkdir(parents=True)
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG.format(package=package, kind=kind, segment_s=segment_s))
    (root / "key").write_bytes(new_key())
    (source / "__init__.py").write_text("")
    (source / "service.py").write_text(SERVICE)
    return root


def make_bundle(folder: Path, model: Model, version: str = "1") -> Path:
    """What `crm serve` makes of a registered model."""
    digest = model.save(folder)
    Bundle(folder, Identity("payments", version, digest)).write()
    return folder


def payment_of(number: int, amount_eur: float) -> dict[str, Any]:
    """A request whose id is its number."""
    fields = {
        "payment_id": ("INT64", number),
        "paid_at": ("BYTES", f"2026-03-01T{number % 24:02d}:30:00Z"),
        "amount_eur": ("FP64", amount_eur),
        "iban": ("BYTES", f"DE{number:020d}"),
    }
    tensors = [{"name": n, "shape": [1], "datatype": k, "data": [v]} for n, (k, v) in fields.items()]
    return {"id": f"client-{number}", "inputs": tensors}


@dataclass
class Service:
    """The service as a process."""

    process: subprocess.Popen[bytes]
    port: int

    def infer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, document) of one request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/v2/models/payments/infer", json.dumps(body))
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether it answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.terminate()
        self.process.wait(20)


def start(root: Path, bundle: Path) -> Service:
    """The service of the repo, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--repo", str(root), "--bundle", str(bundle), "--set", f"serving.port={port}"]
    command = [sys.executable, "-m", "carrental_mlops.serving.server", *where]
    service = Service(subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}), port)
    for _ in range(1_200):
        if service.process.poll() is not None:
            break
        if service.is_ready():
            return service
        time.sleep(0.05)
    service.process.kill()
    raise RuntimeError("the service did not start")
