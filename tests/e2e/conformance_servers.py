"""One small model repo and its bundle, and the three real servers that answer with them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from background_program import free_port

ROOT = Path(__file__).parents[2]
NAME, VERSION = "payments", "3"
ROWS = 300

_CONFIG = """
service: payments
package: conformance_repo
owner: risk@example.com
tier: 1
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: []}
serving: {deadline_ms: 20000, drain_s: 1, audit: {clear: [customer_id]}}
"""
_SERVICE = """
from datetime import datetime

import numpy as np
from pydantic import Field

from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService


class Payment(RowContract):
    customer_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    note: str | None = None
    is_fraud: int | None = None


class PaymentFeatures(FeatureSet):
    request = ("amount_eur", "rental_days", "paid_at")

    def compute(self, *, columns):
        return {"hour": columns["paid_at"] % 86_400 / 3_600, "per_day": columns["amount_eur"] / columns["rental_days"]}


class PaymentService(ModelService):
    feature_set = PaymentFeatures
    schema = Payment
    decision_fields = ("customer_id",)

    def rules(self, *, columns):
        return {"known_thief": columns["customer_id"] == 13}
"""


def make_repo(folder: Path) -> Path:
    """A model repo with a service, and its bundle in `bundle`."""
    import lightgbm

    from carrental_mlops.data.model import LightGbm, Model
    from carrental_mlops.serving.endpoint import Identity
    from carrental_mlops.serving.load import Bundle

    package = folder / "src" / "conformance_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(_SERVICE)
    (folder / "config").mkdir()
    (folder / "config" / "crm.yaml").write_text(_CONFIG)
    draw = np.random.default_rng(0)
    amounts, days, hours = draw.uniform(0, 2_000, 4_000), draw.integers(1, 30, 4_000), draw.uniform(0, 24, 4_000)
    rows = np.column_stack([amounts, days, hours, amounts / days])
    rows[::7, [1, 3]] = np.nan
    labels = (amounts / 2_000 + draw.normal(0, 0.3, 4_000) > 0.8).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), 60)
    model = Model(LightGbm(booster), ("amount_eur", "rental_days", "hour", "per_day"), threshold=0.5)
    model.save(folder / "bundle")
    digest = Model.load(folder / "bundle").digest
    Bundle(folder / "bundle", Identity(NAME, VERSION, digest)).write()
    return folder


def make_requests() -> list[dict[str, list[Any]]]:
    """300 requests, field to values: one row, many rows, an optional field missing in some rows or left out."""
    draw = np.random.default_rng(1)
    made = []
    for at in range(ROWS):
        rows = 1 if at % 3 else int(draw.integers(2, 40))
        days: list[float | None] = [float(v) for v in draw.integers(1, 30, rows)]
        if at % 5 == 0:
            days[0] = None
        made.append(
            {
                "customer_id": draw.integers(1, 20, rows).tolist(),
                "paid_at": [f"2026-03-{v:02d}T{v % 24:02d}:30:{v:02d}Z" for v in draw.integers(1, 29, rows).tolist()],
                "amount_eur": draw.uniform(0, 2_000, rows).tolist(),
                **({} if at % 7 == 0 else {"rental_days": days}),
                **({"note": ["größer", *[""] * (rows - 1)]} if at % 4 == 0 else {}),
            }
        )
    return made


def offline(repo: Path, requests: list[dict[str, list[Any]]]) -> list[dict[str, list[Any]]]:
    """What the service class answers without a server: the answers to hold the servers to."""
    from datetime import datetime

    from carrental_mlops.config import load
    from carrental_mlops.config.reader import repo_config
    from carrental_mlops.data.model import Model
    from carrental_mlops.serving.load import service_of

    service = service_of(repo, repo_config(load(repo)))(Model.load(repo / "bundle"))
    answers = []
    for request in requests:
        seconds = [datetime.fromisoformat(text).timestamp() for text in request["paid_at"]]
        missing = [None] * len(seconds)
        days = np.array(request.get("rental_days", missing), dtype=float)
        answer = service.answer({**request, "paid_at": seconds, "rental_days": days})
        answers.append(
            {"score": answer.scores.tolist(), "decision": answer.decisions.tolist(), "reason": list(answer.reasons)}
        )
    return answers


def environment(name: str, requirements: Path, *packages: str) -> Path:
    """The Python of `.venvs/<name>`, which holds what `requirements` names and `packages` without their own."""
    folder = ROOT / ".venvs" / name
    python, stamp = folder / "bin" / "python", folder / ".made-of"
    wanted = hashlib.sha256(requirements.read_bytes() + repr((packages, sys.version)).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    uv = os.environ.get("CRM_UV") or shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    install = ["sync", "--require-hashes"] if "--hash=" in requirements.read_text() else ["install", "-r"]
    commands = [
        [uv, "venv", "--clear", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", *install, str(requirements), "--quiet", "--python", str(python)],
        *([[uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", *packages]] if packages else []),
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    stamp.write_text(wanted)
    return python


@dataclass
class Address:
    """Where one server listens."""

    runtime: str
    http: int
    grpc: int


@contextmanager
def server(runtime: str, repo: Path, log: Path) -> Iterator[Address]:
    """The real server of `runtime` (crm, mlserver or seldon) with the repo's bundle, ready."""
    address = Address(runtime, free_port(), free_port())
    command, variables = {"crm": _crm, "mlserver": _mlserver, "seldon": _seldon}[runtime](repo, address)
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("MLSERVER_", "CRM_", "PYTHON"))}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=repo, env={**quiet, "OMP_NUM_THREADS": "1", **variables}, stdout=sink, stderr=sink,
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{address.http}/v2/models/{NAME}/ready", process, log)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _crm(repo: Path, address: Address) -> tuple[list[str], dict[str, str]]:
    sets = [f"serving.port={address.http}", f"serving.grpc_port={address.grpc}"]
    options = [text for pair in sets for text in ("--set", pair)]
    module = [sys.executable, "-m", "carrental_mlops.serving.server"]
    return [*module, "--repo", str(repo), "--bundle", str(repo / "bundle"), *options], {}


def _mlserver(repo: Path, address: Address) -> tuple[list[str], dict[str, str]]:
    python = environment("mlserver", ROOT / "requirements" / "mlserver.txt", "--editable", str(ROOT))
    variables = {
        "MLSERVER_MODEL_NAME": NAME,
        "MLSERVER_MODEL_IMPLEMENTATION": "carrental_mlops.serving.runtimes.mlserver.Runtime",
        "MLSERVER_MODEL_URI": str(repo / "bundle"),
        "MLSERVER_MODEL_VERSION": VERSION,
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(address.http),
        "MLSERVER_GRPC_PORT": str(address.grpc),
        "MLSERVER_METRICS_PORT": str(free_port()),
        "MLSERVER_PARALLEL_WORKERS": "0",
    }
    empty = repo / "mlserver"
    empty.mkdir(exist_ok=True)
    return [str(python.with_name("mlserver")), "start", str(empty)], variables


def _seldon(repo: Path, address: Address) -> tuple[list[str], dict[str, str]]:
    python = environment("seldon", ROOT / "requirements" / "seldon.txt", "--editable", str(ROOT))
    parameters = [{"name": "model_uri", "value": str(repo / "bundle"), "type": "STRING"}]
    ports = {"http": address.http, "grpc": address.grpc, "metrics": free_port()}
    options = [text for kind, port in ports.items() for text in (f"--{kind}-port", str(port))]
    model = "carrental_mlops.serving.runtimes.seldon.Model"
    command = [str(python.with_name("seldon-core-microservice")), model, "--service-type", "MODEL", *options]
    variables = {"PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters), "GUNICORN_THREADS": "4"}
    return command, variables


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"not ready in 90 s:\n{log.read_text()}")
