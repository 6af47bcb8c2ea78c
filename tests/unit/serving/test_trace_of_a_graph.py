"""A request's trace: a span a node, one below it for the stored features, and its id in the log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from graph_processes import NodeThread, Served, nodes
from graph_repo import graph_repo, payment
from otlp_collector import Collector, attributes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graph_repo(tmp_path_factory.mktemp("graph") / "repo")


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


class _Hasty(NodeThread):
    """Waits for stored features no longer than it must."""

    def __init__(self, root: Path, name: str, port: int, *sets: str) -> None:
        super().__init__(root, name, port, *sets, "serving.features.budget_ms=200")


class _Traced(_Hasty):
    """Sends its spans to `url`."""

    url: str

    def __init__(self, root: Path, name: str, port: int, *sets: str) -> None:
        super().__init__(root, name, port, *sets, f"serving.traces.endpoint={self.url}", "serving.traces.ratio=0")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """The online store, while nobody can read it."""
    held = sqlite3.connect(root / ".crm" / "feast" / "online.db")
    held.execute("BEGIN EXCLUSIVE")
    yield
    held.rollback()
    held.close()


def _ask(node: Served, name: str) -> int:
    return node.ask("POST", f"/v2/models/{name}/infer", payment(7), traceparent=CALLERS)[0]


def _lines(node: Served) -> list[dict[str, Any]]:
    """What the node has logged; the first line may come after its answer."""
    deadline = time.monotonic() + 10
    while not node.said.strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    return [json.loads(line) for line in node.said.splitlines()]


def test_the_read_of_stored_features_is_a_span_below_the_nodes(
    root: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Traced, "url", collector.url, raising=False)
    with nodes(root, ("features", "payments"), _Traced) as running:
        assert _ask(running["features"], "features") == 200
        assert _ask(running["payments"], "payments") == 200
        spans = {(span.name, attributes(span).get("crm.node", "")): span for span in collector.wait_for(4)}
    assert set(spans) == {
        ("infer features", "features"),
        ("read features", "features"),
        ("infer payments", ""),
        ("read features", ""),
    }
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    for name in ("features", "payments"):
        node = name if name == "features" else ""
        above, below = spans[f"infer {name}", node], spans["read features", node]
        assert above.parent_span_id.hex() == CALLERS[36:52] and below.parent_span_id == above.span_id
        assert above.start_time_unix_nano <= below.start_time_unix_nano <= below.end_time_unix_nano
        assert attributes(below)["crm.feature_view"] == ["customer_history"]
        assert attributes(above)["crm.model"] == "payments" and attributes(above)["crm.model_version"] == "1"
    assert attributes(spans["infer features", "features"])["crm.node_kind"] == "transformer"


def test_a_log_line_of_a_request_has_its_trace_id_and_others_have_none(
    root: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Traced, "url", collector.url, raising=False)
    with nodes(root, ("features",), _Traced) as running:
        with _locked(root):
            assert _ask(running["features"], "features") == 200
        spans = {span.name: span for span in collector.wait_for(2)}
        (late,) = [line for line in _lines(running["features"]) if "were not read" in line["message"]]
        assert late["trace_id"] == TRACE
        assert all("trace_id" not in line for line in _lines(running["features"]) if line != late)
    assert spans["read features"].status.code == 2 and spans["infer features"].status.code == 0


def test_a_node_that_keeps_no_traces_still_logs_the_callers(root: Path) -> None:
    with nodes(root, ("payments",), _Hasty) as running:
        with _locked(root):
            assert _ask(running["payments"], "payments") == 200
        assert TRACE in {line.get("trace_id") for line in _lines(running["payments"])}
