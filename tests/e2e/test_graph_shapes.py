"""Each shape of a graph and each rollout answers 1,000 requests through its nodes, each a process of its own."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from background_program import free_port
from graph_processes import Index, NodeProcess, Served, nodes, places_of, ship
from graph_repo import LICENCE, graph_repo, payment
from graph_wiring import SHAPES, Unit, Wiring
from rendered_repos import NEW, OLD, config_of
from route_stand_in import Gateway

from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.serving.audit_event import TYPE

pytestmark = pytest.mark.e2e
REQUESTS = 1_000
_BATCH = "application/cloudevents-batch+json"


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


def _plain(number: int) -> dict[str, str]:
    return {}


def _marked(number: int) -> dict[str, str]:
    """One in five, in HTTP's own spelling of names."""
    return {"x_variant": "new"} if number % 5 == 0 else {}


ISTIO = {"by": "istio", "host": "fraud.example.com", "gateway": "istio-system/main"}
ROLLOUTS: dict[str, tuple[dict[str, Any], int | None, Callable[[int], dict[str, str]], tuple[range, range]]] = {
    "a single model": ({"kind": "direct"}, None, _plain, (range(1_000, 1_001), range(1))),
    "a canary of 10 %": ({"kind": "canary"}, None, _plain, (range(860, 940), range(60, 140))),
    "a canary of 50 %": ({"kind": "canary"}, 50, _plain, (range(430, 570), range(430, 570))),
    "A/B, 30 %": ({"kind": "ab", "share": 30}, None, _plain, (range(640, 760), range(240, 360))),
    "A/B by header": ({"kind": "ab", "header": "X-Variant"}, None, _marked, (range(800, 801), range(200, 201))),
    "a shadow": ({"kind": "shadow"}, None, _plain, (range(1_000, 1_001), range(1_000, 1_001))),
}
"""Rollout, weight, headers of each request, and calls of champion and other: four standard deviations about a share."""


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tuple[Path, Path], tuple[Served, Served]]]:
    """Two versions of the service, each a process with a repo of its own."""
    roots = tuple(graph_repo(tmp_path_factory.mktemp(name) / "repo") for name in ("champion", "other"))
    shutil.rmtree(roots[1] / "bundle")
    shutil.copytree(roots[1] / "bundles" / "second", roots[1] / "bundle")
    processes = [NodeProcess(root, "payments", free_port()) for root in roots]
    try:
        for process in processes:
            process.wait_ready()
        yield (roots[0], roots[1]), (processes[0], processes[1])
    finally:
        for process in processes:
            process.begin_stop()
            process.end()


@pytest.mark.parametrize("name", ROLLOUTS)
def test_a_rollout_splits_a_thousand_requests_between_two_versions_and_hides_a_licence_number(
    tracks: tuple[tuple[Path, Path], tuple[Served, Served]], name: str
) -> None:
    rollout, weight, headers, expected = ROLLOUTS[name]
    made = render(config_of(route=ISTIO, rollout=rollout), "prod", NEW, OLD, weight).objects
    (route,) = [one["spec"] for one in made if one["kind"] == "VirtualService"]
    roots, (champion, other) = tracks
    before = [_counted(served) for served in (champion, other)]
    gateway = Gateway(route, {"champion": champion, rollout["kind"]: other})
    answers = gateway.many(REQUESTS, payment, headers)
    assert Counter(status for status, _ in answers) == {200: REQUESTS}
    assert {told["id"] for _, told in answers} == {f"request-{number}" for number in range(REQUESTS)}
    calls = [_counted(served) - count for served, count in zip((champion, other), before, strict=True)]
    assert calls[0] in expected[0] and calls[1] in expected[1], calls
    by_version = Counter(told["model_version"] for _, told in answers)
    if rollout["kind"] == "shadow":
        assert by_version == {"1": REQUESTS}, "a shadow's answers are not used"
    else:
        assert sum(calls) == REQUESTS
        assert by_version == Counter({"1": calls[0], "2": calls[1]}) - Counter()
    if rollout.get("header"):
        assert {told["id"] for _, told in answers if told["model_version"] == "2"} == {
            f"request-{number}" for number in range(REQUESTS) if headers(number)
        }
    for root, served in zip(roots, (champion, other), strict=True):
        assert places_of(LICENCE, root, {"payments": served}) == []


def _new_pod(root: Path, folder: Path, ports: dict[str, int], names: tuple[str, ...]) -> Path:
    """The repo anew, as in an image, with the disks of these nodes alone."""
    made = graph_repo(folder, ports)
    for name in names:
        shutil.copytree(root / ".crm" / "nodes" / name, made / ".crm" / "nodes" / name)
    return made


def _killed(node: Served) -> None:
    assert isinstance(node, NodeProcess)
    node.process.kill()
    node.process.wait(20)


def test_a_bandit_that_was_killed_goes_on_in_a_new_pod_with_what_it_learnt(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "one")
    with nodes(root, ["bandit"], NodeProcess) as running:
        bandit = running["bandit"]
        for number in range(90):
            fed = {"route": number % 3, "reward": int(number % 3 == 2)}
            assert bandit.ask("POST", "/v2/models/bandit/feedback", fed)[0] == 200
        _killed(bandit)
    new = _new_pod(root, tmp_path / "two", {"outlier": 1, "index": 1}, ("bandit",))
    with nodes(new, ["bandit"], NodeProcess) as running:
        routed = [running["bandit"].ask("POST", "/v2/models/bandit/route", payment(n)) for n in range(REQUESTS)]
    chosen = Counter(json.loads(body)[0] for _, body in routed)
    assert chosen[2] > 950, chosen


def test_detectors_that_were_killed_go_on_in_a_new_pod_where_they_were(tmp_path: Path) -> None:
    index = Index()
    ports = {"index": index.port, "outlier": free_port()}
    batches = [[_event(number) for number in range(at, at + 50)] for at in range(0, 600, 50)]
    told = []
    for kills in ((), (1, 4, 9)):
        root = graph_repo(tmp_path / f"{len(kills)}-0", ports)
        for first, last in itertools.pairwise((0, *kills, len(batches))):
            with nodes(root, ["drift", "outlier"], NodeProcess, {"outlier": ports["outlier"]}) as running:
                for batch in batches[first:last]:
                    assert running["drift"].ask("POST", "/events", batch, content_type=_BATCH)[0] == 200
                pages = [
                    running[name].ask("GET", page) for name, page in (("drift", "/drift"), ("outlier", "/outliers"))
                ]
                _killed(running["drift"])
                _killed(running["outlier"])
            root = _new_pod(root, tmp_path / f"{len(kills)}-{last}", ports, ("drift", "outlier"))
        told.append(pages)
    index.stop()
    assert told[0] == told[1]
    assert json.loads(told[1][0][1])["fields"]["amount_eur"]["psi"] > 0.2


def _event(number: int) -> dict[str, Any]:
    """A masked event of the audit; amounts rise from the 400th on."""
    amount = float(number % 97 + (60 if number > 400 else 0))
    inputs = {"amount_eur": [amount], "payment_id": [number], "licence": "***"}
    data = {"model": {"version": "1"}, "inputs": inputs, "features": {}, "score": [amount / 200]}
    return {"id": f"e{number}", "type": TYPE, "data": data}


def test_a_node_whose_bundle_is_missing_says_so_and_ends(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    (root / "bundle" / "model.txt").unlink()
    node = NodeProcess(root, "explain", free_port())
    assert node.process.wait(120) == 1
    assert "model.txt" in node.said


def _counted(node: Served) -> int:
    own = node.counted("crm_node_requests_total", code="200")
    return int(own or node.counted("crm_requests_total", code="200"))
