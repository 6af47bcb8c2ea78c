"""One trace from the gateway through transformer, feature lookup and model, in a real Jaeger; each part a process."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import traced_gateway
from background_program import free_port
from graph_processes import NodeProcess, Served
from graph_repo import graph_repo, payment
from graph_wiring import SHAPES, Wiring
from jaeger_running import Jaeger, jaeger

pytestmark = pytest.mark.e2e
BUDGET_MS = 500


@dataclass
class Traced:
    """What runs."""

    jaeger: Jaeger
    root: Path
    nodes: dict[str, Served]
    gateway: str

    def ask(self, number: int, traceparent: str) -> tuple[int, Any]:
        """One request through the gateway."""
        sent = {"content-type": "application/json", "traceparent": traceparent}
        url = f"{self.gateway}/v2/models/payments/infer"
        request = urllib.request.Request(url, json.dumps(payment(number)).encode(), sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Gateway, transformer and model as KServe wires them, and Jaeger."""
    folder = tmp_path_factory.mktemp("traced")
    with jaeger(folder) as running:
        root = graph_repo(folder / "repo")
        config = root / "config" / "crm.yaml"
        own = f"  traces: {{ratio: 0, endpoint: '{running.collector}', query: '{running.query}'}}\n"
        config.write_text(config.read_text().replace("  drain_s: 0\n", f"  drain_s: 0\n{own}"))
        given = "serving.features.source=request"
        ports = [free_port() for _ in range(3)]
        nodes: dict[str, Served] = {"payments:request": NodeProcess(root, "payments", ports[0], given)}
        hasty = f"serving.features.budget_ms={BUDGET_MS}"
        nodes["features"] = NodeProcess(root, "features", ports[1], hasty, predictor_host=f"127.0.0.1:{ports[0]}")
        command = [sys.executable, traced_gateway.__file__, str(ports[2]), f"http://127.0.0.1:{ports[1]}"]
        gateway = subprocess.Popen([*command, running.collector])
        try:
            for node in nodes.values():
                node.wait_ready()
            yield Traced(running, root, nodes, _up(f"http://127.0.0.1:{ports[2]}"))
        finally:
            gateway.terminate()
            gateway.wait(20)
            for node in nodes.values():
                node.begin_stop()
            for node in nodes.values():
                node.end()


def _up(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return url
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    held = sqlite3.connect(root / ".crm" / "feast" / "online.db")
    held.execute("BEGIN EXCLUSIVE")
    yield
    held.rollback()
    held.close()


def _parent(span: dict[str, Any]) -> str | None:
    (above,) = span.get("references") or [{"spanID": None}]
    return above["spanID"]


def _tags(span: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def _crm(traced: Traced, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("crm")), "trace", *arguments]
    done = subprocess.run(command, cwd=traced.root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_trace_holds_gateway_transformer_feature_lookup_and_model(traced: Traced) -> None:
    trace, client = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    status, answered = traced.ask(7, f"00-{trace}-{client}-01")
    assert status == 200
    spans = {span["operationName"]: span for span in traced.jaeger.spans(trace, 4)}
    assert set(spans) == {"gateway", "infer features", "read features", "infer payments"}
    assert _parent(spans["gateway"]) == client
    assert _parent(spans["infer features"]) == spans["gateway"]["spanID"]
    assert _parent(spans["read features"]) == spans["infer features"]["spanID"]
    assert _parent(spans["infer payments"]) == spans["infer features"]["spanID"]
    for name in ("infer features", "read features", "infer payments"):
        assert _tags(spans[name])["crm.model"] == "payments"
        assert _tags(spans[name])["crm.model_version"] == answered["model_version"] == "1"
    assert _tags(spans["read features"])["crm.feature_view"] == '["customer_history"]'
    assert _tags(spans["infer features"])["crm.node_kind"] == "transformer"
    services = {name: span["service"]["serviceName"] for name, span in spans.items()}
    assert services["gateway"] == "gateway" and services["infer payments"] == "payments"
    parts = [spans["read features"], spans["infer payments"]]
    assert sum(part["duration"] for part in parts) <= spans["infer features"]["duration"]


def test_crm_trace_shows_the_tree_of_a_request(traced: Traced) -> None:
    trace = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"
    assert traced.ask(8, f"00-{trace}-00f067aa0ba902b7-01")[0] == 200
    traced.jaeger.spans(trace, 4)
    said = _crm(traced, "request-8")
    assert "request request-8, model payments 1" in said
    for told in ("gateway", "infer features", "read features", "infer payments"):
        assert told in said
    assert "crm.feature_view" in said and "customer_history" in said and "crm.model_version=1" in said
    spans = {span["name"]: span for span in json.loads(_crm(traced, "request-8", "--json"))["spans"]}
    assert spans["infer payments"]["parent"] == spans["read features"]["parent"] == spans["infer features"]["id"]
    assert spans["infer features"]["parent"] == spans["gateway"]["id"]


def test_a_log_line_leads_to_its_trace(traced: Traced) -> None:
    trace = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2"
    with _locked(traced.root):
        status, answered = traced.ask(9, f"00-{trace}-00f067aa0ba902b7-01")
    assert status == 200 and answered["parameters"] == {"flags": ["late"]}
    lines = [json.loads(line) for line in traced.nodes["features"].said.splitlines()]
    (late,) = [line for line in lines if "stored features were not read" in line["message"]]
    assert late["trace_id"] == trace
    spans = {span["operationName"]: span for span in traced.jaeger.spans(trace, 4)}
    assert _tags(spans["read features"])["error"] is True and "error" not in _tags(spans["infer features"])
    assert spans["read features"]["duration"] >= 0.9 * BUDGET_MS * 1e3


def test_what_the_caller_does_not_want_kept_is_not_kept(traced: Traced) -> None:
    trace = "ccccccccccccccccccccccccccccccc3"
    assert traced.ask(10, f"00-{trace}-00f067aa0ba902b7-00")[0] == 200
    time.sleep(1.5)
    assert traced.jaeger.spans(trace, 0, 0) == []
    assert "spans" not in _crm(traced, "request-10").lower()


def test_seldons_order_puts_transformer_and_model_side_by_side(traced: Traced) -> None:
    trace, client = "ddddddddddddddddddddddddddddddd4", "00f067aa0ba902b7"
    node = NodeProcess(traced.root, "features", free_port())
    try:
        node.wait_ready()
        wiring = Wiring(SHAPES["transformer"], {**traced.nodes, "features": node}, "payments")
        assert wiring.predict(payment(11), traceparent=f"00-{trace}-{client}-01")[0] == 200
        spans = {span["operationName"]: span for span in traced.jaeger.spans(trace, 3)}
    finally:
        node.begin_stop()
        node.end()
    assert _parent(spans["infer features"]) == _parent(spans["infer payments"]) == client
    assert _parent(spans["read features"]) == spans["infer features"]["spanID"]
