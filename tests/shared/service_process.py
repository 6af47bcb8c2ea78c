"""A service as a process of its own, from a small repo and bundle, and a client that counts what it was answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from background_program import free_port

INFER = "/v2/models/payments/infer"

_CONFIG = """
service: payments
package: payments_repo
owner: risk@example.com
tier: 1
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: []}
slo: {p99_ms: 900, rps: 200, error_rate: 0.001}
serving: {audit: {kind: "off"}, drain_s: 1, deadline_ms: 60000}
"""
_SERVICE = """
import time
from datetime import datetime
from pydantic import Field
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService

class Payment(RowContract):
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    is_fraud: int | None = None

class PaymentFeatures(FeatureSet):
    request = ("amount_eur", "rental_days", "paid_at")

    def compute(self, *, columns):
        return {"hour": columns["paid_at"] % 86_400 / 3_600}

class PaymentService(ModelService):
    feature_set = PaymentFeatures
    schema = Payment
"""
PAYMENT: dict[str, Any] = {
    "inputs": [
        {"name": "paid_at", "shape": [1], "datatype": "BYTES", "data": ["2026-03-01T10:30:00Z"]},
        {"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [120.5]},
    ]
}
"""A request that is answered."""


def service_repo(folder: Path, hooks: str = "") -> Path:
    """A repo with a service whose class body ends with `hooks`."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "crm.yaml").write_text(_CONFIG)
    package = folder / "src" / "payments_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(_SERVICE + hooks)
    return folder


def bundle(folder: Path, version: str = "1") -> Path:
    """A bundle with a model trained on made-up rows; more trees in later versions."""
    import lightgbm
    import numpy as np

    from carrental_mlops.data.model import LightGbm, Model
    from carrental_mlops.serving.endpoint import Identity
    from carrental_mlops.serving.load import Bundle

    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(0, 2_000, 4_000), rng.integers(1, 30, 4_000), rng.uniform(0, 24, 4_000)])
    labels = (rows[:, 0] / 2_000 + rng.normal(0, 0.3, 4_000) > 0.8).astype(int)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), 20 + 10 * int(version))
    folder.mkdir(parents=True)
    digest = Model(LightGbm(booster), ("amount_eur", "rental_days", "hour"), threshold=0.5).save(folder)
    Bundle(folder, Identity("payments", version, digest)).write()
    return folder


@dataclass
class ServiceProcess:
    """The running service; what it says on stderr is read as it comes."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        Thread(target=self._read, daemon=True).start()

    def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """(status, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def wait_ready(self, timeout_s: float = 120) -> None:
        """Returns once it says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.ask("/v2/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Process ids of its workers, the one with the most connections first."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        workers = [int(number) for number in found if b"--worker" in Path(f"/proc/{number}/cmdline").read_bytes()]
        return sorted(workers, key=lambda number: -len(os.listdir(f"/proc/{number}/fd")))  # noqa: PTH208, names alone

    def resident_mb(self) -> float:
        """Resident memory of the first process (MB)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1e3

    @property
    def said(self) -> str:
        """What it has said on stderr."""
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))


@contextmanager
def running(
    repo: Path, bundled: Path, sets: Sequence[str] = (), port: int | None = None, ready: bool = True
) -> Iterator[ServiceProcess]:
    """The service on `port`, or a free one, until the block ends."""
    port = port or free_port()
    pairs = [text for pair in (f"serving.port={port}", *sets) for text in ("--set", pair)]
    command = [sys.executable, "-m", "carrental_mlops.serving.server", "--repo", str(repo), "--bundle", str(bundled)]
    process = subprocess.Popen(
        [*command, *pairs],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    service = ServiceProcess(process, port)
    try:
        if ready:
            service.wait_ready()
        yield service
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):  # the second one closes at once
            if process.poll() is None:
                process.send_signal(number)
                try:
                    process.wait(1 if number == signal.SIGTERM else 10)
                except subprocess.TimeoutExpired:
                    continue


def request_bytes(document: Any = PAYMENT, path: str = INFER, *headers: str) -> bytes:
    """A whole POST request."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"POST {path} HTTP/1.1", "host: test", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Tally:
    """What clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Requests sent on an open connection that got no whole answer."""
    closes: int = 0
    """Answers that said `connection: close`."""
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Status to the seconds that each answer took."""


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the next answer on a connection.

    Raises:
        OSError, asyncio.IncompleteReadError: there was none.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def keep_asking(port: int, stop: asyncio.Event, tally: Tally, payload: bytes | None = None) -> None:
    """One caller: the next request when the last is answered, on a kept connection, a new one when told to close."""
    payload = payload or request_bytes()
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        try:
            await _ask_on(reader, writer, stop, tally, payload)
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.lost.append(repr(error))
        finally:
            writer.close()


async def _ask_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event, tally: Tally, payload: bytes
) -> None:
    while not stop.is_set():
        started = time.perf_counter()
        writer.write(payload)
        status, headers, body = await answer(reader)
        tally.statuses[status] += 1
        tally.seconds.setdefault(status, []).append(time.perf_counter() - started)
        if status == 200:
            tally.versions[json.loads(body)["model_version"]] += 1
        if headers.get("connection") == "close":
            tally.closes += 1
            return
