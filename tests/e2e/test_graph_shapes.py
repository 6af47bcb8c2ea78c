"""Each shape of an inference graph answers 1,000 requests through its nodes, each a process of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from graph_processes import (
    LICENCE,
    SHAPES,
    Index,
    NodeProcess,
    Served,
    Unit,
    Wiring,
    graph_repo,
    nodes,
    payment,
    places_of,
    ship,
)
from service_process import free_port

pytestmark = pytest.mark.e2e
REQUESTS = 1_000


@contextmanager
def running(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, Served], Index]]:
    """A repo, its named nodes beside both detectors, and the collector at the end of the audit's way."""
    index = Index()
    ports = {"index": index.port, "outlier": free_port()}
    root = graph_repo(folder / "repo", ports)
    try:
        with nodes(root, (*names, "drift", "outlier"), NodeProcess, {"outlier": ports["outlier"]}) as served:
            yield root, served, index
    finally:
        index.stop()


def _names(unit: Unit) -> tuple[str, ...]:
    return (unit.name, *(name for child in unit.children for name in _names(child)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_answers_a_thousand_requests_and_hides_a_licence_number(tmp_path: Path, shape: str) -> None:
    graph = SHAPES[shape]
    model = "payments-fr" if shape == "multi-model" else "payments"
    with running(tmp_path, _names(graph)) as (root, served, index):
        wiring = Wiring(graph, served, model)
        answers = wiring.many(REQUESTS, x_country="fr")
        assert Counter(status for status, _ in answers) == {200: REQUESTS}
        assert {told["id"] for _, told in answers} == {f"request-{number}" for number in range(REQUESTS)}
        counted = {name: _counted(served[name]) for name in _names(graph)}
        assert {name: count for name, count in counted.items() if count} == wiring.calls
        assert wiring.calls[graph.name] == REQUESTS
        assert sum(wiring.calls.values()) == REQUESTS * (4 if shape == "ensemble" else 2)
        events = int(sum(node.counted("crm_audit_written_total") for node in served.values()))
        assert events == sum(count for name, count in counted.items() if name not in ("features", graph.name))
        assert ship(root, served["drift"].port, events) == events
        for detector in ("drift", "outlier"):
            assert served[detector].counted("crm_detector_events_total", what="taken") == events
        assert index.kept.count(b"com.carrental.inference.v1") == events
        assert places_of(LICENCE, root, served) == [] and LICENCE.encode() not in index.kept


def test_the_explainer_answers_a_thousand_requests(tmp_path: Path) -> None:
    with running(tmp_path, ("explain",)) as (root, served, _):
        node = served["explain"]
        with ThreadPoolExecutor(4) as pool:
            path = "/v2/models/payments/explain"
            answers = list(pool.map(lambda number: node.ask("POST", path, payment(number)), range(REQUESTS)))
        assert Counter(status for status, _ in answers) == {200: REQUESTS}
        assert {json.loads(body)["id"] for _, body in answers} == {f"request-{n}" for n in range(REQUESTS)}
        assert node.counted("crm_node_requests_total", call="explain", code="200") == REQUESTS
        assert places_of(LICENCE, root, served) == []


def test_a_node_whose_bundle_is_missing_says_so_and_ends(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    (root / "bundle" / "model.txt").unlink()
    node = NodeProcess(root, "explain", free_port())
    assert node.process.wait(120) == 1
    assert "model.txt" in node.said


def _counted(node: Served) -> int:
    own = node.counted("crm_node_requests_total", code="200")
    return int(own or node.counted("crm_requests_total", code="200"))
