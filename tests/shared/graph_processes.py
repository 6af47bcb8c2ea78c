"""A model repo with nodes, each as a process of its own, and a wiring that calls them as Seldon's executor does."""

from __future__ import annotations

import functools
import http.client
import io
import json
import logging
import os
import re
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from background_program import free_port

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


class Served:
    """A node's server on a port."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._mine = threading.local()

    @property
    def said(self) -> str:
        """What it has logged."""
        raise NotImplementedError

    def begin_stop(self) -> None:
        """Tell it to end."""
        raise NotImplementedError

    def end(self) -> None:
        """Wait for its end."""
        raise NotImplementedError

    def alive(self) -> bool:
        """Whether it still runs."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """(status, body), over a connection that each thread keeps."""
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if kept is None:
            kept = self._mine.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            kept.request(method, path, sent, {"content-type": "application/json", **_dashed(headers)})
            reply = kept.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            kept.close()
            self._mine.connection = None
            raise

    def counted(self, metric: str, **labels: str) -> float:
        """Sum of the samples of one metric that have these labels."""
        text = self.ask("GET", "/metrics")[1].decode()
        found = re.findall(rf"^{metric}(?:\{{(.*)\}})? (\S+)$", text, re.M)
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        return sum(float(value) for told, value in found if all(pair in told for pair in wanted))

    def wait_ready(self, timeout_s: float = 240) -> None:
        """Returns once it says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.ask("GET", "/v2/health/ready")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            assert self.alive(), self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)


class NodeProcess(Served):
    """A process of its own; `payments` is the service itself."""

    def __init__(self, root: Path, name: str, port: int, *sets: str, predictor_host: str | None = None) -> None:
        super().__init__(name, port)
        module = "carrental_mlops.serving.server" if name == "payments" else "carrental_mlops.serving.nodes.server"
        named = [] if name == "payments" else ["--name", name]
        named += ["--predictor_host", predictor_host] if predictor_host else []
        pairs = [text for pair in (f"serving.port={port}", *sets) for text in ("--set", pair)]
        where = ["--repo", str(root), "--bundle", str(root / "bundle"), *pairs]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", module, *where, *named]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def begin_stop(self) -> None:
        self.process.terminate()

    def end(self) -> None:
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def alive(self) -> bool:
        return self.process.poll() is None

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._lines.extend(iter(self.process.stderr.readline, ""))


class NodeThread(Served):
    """The same server in a thread: a tenth of a second instead of one; its log is that of all threads."""

    def __init__(self, root: Path, name: str, port: int, *sets: str, predictor_host: str | None = None) -> None:
        from carrental_mlops.serving.load import open_app
        from carrental_mlops.serving.logs import JsonLines
        from carrental_mlops.serving.nodes.opening import open_node
        from carrental_mlops.serving.server import Server, config_of

        super().__init__(name, port)
        given = (f"serving.port={port}", *sets)
        if name == "payments":
            app = open_app(root, root / "bundle", sets=given)
        else:
            app = open_node(root, name, root / "bundle", sets=given, predictor_host=predictor_host)
        self._log = io.StringIO()
        self._handler = logging.StreamHandler(self._log)
        self._handler.setFormatter(JsonLines())
        logging.getLogger("carrental_mlops").addHandler(self._handler)
        self._server = Server(config_of(app), app)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    @property
    def said(self) -> str:
        return self._log.getvalue()

    def begin_stop(self) -> None:
        self._server.should_exit = True

    def end(self) -> None:
        self._thread.join(20)
        logging.getLogger("carrental_mlops").removeHandler(self._handler)

    def alive(self) -> bool:
        return self._thread.is_alive()


@dataclass(frozen=True)
class Unit:
    """A node of a graph, as a SeldonDeployment has it."""

    name: str
    type: str
    children: tuple[Unit, ...] = ()


MODELS = (Unit("payments", "MODEL"), Unit("second", "MODEL"), Unit("third", "MODEL"))
SHAPES = {
    "transformer": Unit("features", "TRANSFORMER", (Unit("payments:request", "MODEL"),)),
    "ensemble": Unit("mean", "COMBINER", MODELS),
    "router": Unit("by-header", "ROUTER", MODELS),
    "bandit": Unit("bandit", "ROUTER", MODELS),
    "multi-model": Unit("by-model", "ROUTER", (MODELS[0], Unit("many", "MODEL"))),
}
"""Graphs of the repo."""
GRAPH = (
    "features", "payments", "payments:request", "second", "third", "mean", "by-header", "bandit", "by-model", "many"
)  # fmt: skip
APART = ("drift", "outlier", "explain")


@contextmanager
def nodes(
    root: Path, names: Sequence[str], kind: type[NodeProcess | NodeThread], ports: Mapping[str, int] | None = None
) -> Iterator[dict[str, Served]]:
    """The servers of several nodes, ready; `payments:request` is the service that is sent its stored features."""
    running: dict[str, Served] = {}
    try:
        for name in names:
            plain, _, source = name.partition(":")
            sets = (f"serving.features.source={source}",) if source else ()
            running[name] = kind(root, plain, (ports or {}).get(name) or free_port(), *sets)
        for node in running.values():
            node.wait_ready()
        yield running
    finally:
        for node in running.values():
            node.begin_stop()
        for node in running.values():
            node.end()


class Wiring:
    """Calls the nodes of a graph in the order, and at the paths, of Seldon's executor under `protocol: v2`.

    Our own stand-in, written after executor/predictor/predictor_process.go and executor/api/rest/client.go of
    SeldonIO/seldon-core; the executor itself is not run here.
    """

    def __init__(self, graph: Unit, running: Mapping[str, Served], model: str | None = None) -> None:
        self.graph, self.running, self.model = graph, running, model
        self.calls: Counter[str] = Counter()

    def predict(self, body: Any, **headers: str) -> tuple[int, Any]:
        """(status, reply) of the graph."""
        try:
            return 200, json.loads(self._predict(self.graph, json.dumps(body).encode(), headers))
        except _Failed as failed:
            return failed.args

    def many(self, count: int, body: Callable[[int], Any] = payment, **headers: str) -> list[tuple[int, Any]]:
        """Answers to `count` requests from four callers at once."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda number: self.predict(body(number), **headers), range(count)))

    def _predict(self, unit: Unit, message: bytes, headers: Mapping[str, str]) -> bytes:
        if unit.type in ("MODEL", "TRANSFORMER"):
            message = self._call(unit, "infer", _chained(message), headers)
        if not unit.children:
            return message
        chosen: Sequence[Unit] = unit.children
        if unit.type == "ROUTER":
            chosen = [unit.children[json.loads(self._call(unit, "route", message, headers))[0]]]
        replies = [self._predict(child, message, headers) for child in chosen]
        if unit.type == "COMBINER":
            return self._call(unit, "aggregate", b"[" + b",".join(replies) + b"]", headers)
        return replies[0]

    def _call(self, unit: Unit, call: str, message: bytes, headers: Mapping[str, str]) -> bytes:
        self.calls[unit.name] += 1
        path = f"/v2/models/{self.model or unit.name.partition(':')[0]}/{call}"
        status, reply = self.running[unit.name].ask("POST", path, message, **headers)
        if status != 200:
            raise _Failed(status, json.loads(reply))
        return reply


class _Failed(Exception):
    pass


def _chained(message: bytes) -> bytes:
    """A reply as the next node's request; numbers go through float64, as in Go."""
    document = json.loads(message)
    if "inputs" in document:
        return message
    document = json.loads(message, parse_int=lambda text: int(float(text)))
    document["inputs"] = document.pop("outputs")
    return json.dumps(document).encode()


class Index:
    """The collector at the end of the audit's way: keeps what it is sent."""

    def __init__(self) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        kept = self.kept = bytearray()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.extend(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close."""
        self._server.shutdown()
        self._server.server_close()


def ship(root: Path, port: int, at_least: int = 0, timeout_s: float = 30) -> int:
    """Send the audit's closed files to a detector, as `crm audit ship` does, until so many went; how many did."""
    sent, deadline = _ship(root, port), time.monotonic() + timeout_s
    while sent < at_least and time.monotonic() < deadline:
        time.sleep(0.2)
        sent += _ship(root, port)
    return sent


def _ship(root: Path, port: int) -> int:
    from carrental_mlops.config import load
    from carrental_mlops.config.reader import repo_config
    from carrental_mlops.serving.ship import HttpSink, Shipper

    audit = repo_config(load(root)).serving.audit
    return Shipper(root, audit, HttpSink(f"http://127.0.0.1:{port}/events")).once()


def places_of(text: str, root: Path, running: Mapping[str, Served]) -> list[str]:
    """Where `text` is found: a file of the repo, a log, a metric or a page of a node."""
    found = [str(path) for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    for name, node in running.items():
        found += [f"log of {name}"] * (text in node.said)
        for page in ("/metrics", "/drift", "/outliers", f"/v2/models/{name.partition(':')[0]}"):
            found += [f"{page} of {name}"] * (text.encode() in node.ask("GET", page)[1])
    return found


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
