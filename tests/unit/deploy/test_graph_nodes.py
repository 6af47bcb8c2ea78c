"""Each shape of an inference graph through its nodes as servers in threads: 50 requests here, and
1,000 in tests/e2e, where each node is a process."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background_program import free_port
from graph_processes import Index, NodeThread, Served, nodes, places_of, ship
from graph_repo import COLUMNS, LICENCE, graph_repo, payment, stored_of
from graph_wiring import APART, GRAPH, SHAPES, Unit, Wiring

from carrental_mlops.config import load
from carrental_mlops.config.deploy import Deploy
from carrental_mlops.config.reader import repo_config
from carrental_mlops.data.model import Model
from carrental_mlops.deploy.manifests.shapes import graph_of

SERVICES = ("payments", "payments:request", "second", "third", "many")


@dataclass
class Bed:
    """A repo whose nodes run, and the collector at the end of the audit's way."""

    root: Path
    running: dict[str, Served]
    index: Index


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """All nodes of the repo, running."""
    index = Index()
    ports = {"index": index.port, "outlier": free_port()}
    root = graph_repo(tmp_path_factory.mktemp("graph") / "repo", ports)
    with nodes(root, (*GRAPH, *APART), NodeThread, {"outlier": ports["outlier"]}) as running:
        yield Bed(root, running, index)
    index.stop()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_wiring_follows_the_graph_that_the_chart_is_given(bed: Bed, shape: str) -> None:
    units = _names(SHAPES[shape])
    named = repo_config(load(bed.root)).deploy.nodes
    kind = {"bandit": "router", "multi-model": "multi_model"}.get(shape, shape)
    deploy = Deploy.model_validate({"shape": kind, "nodes": [node for node in named if node.name in units]})
    assert _plain(graph_of(deploy, "payments")) == _plain(SHAPES[shape])


@pytest.mark.parametrize("shape", ["transformer", "ensemble", "router", "bandit"])
def test_a_shape_answers_each_request_and_each_node_counts_its_calls(bed: Bed, shape: str) -> None:
    before = {name: bed.running[name].counted("crm_node_requests_total", code="200") for name in GRAPH}
    served = {name: bed.running[name].counted("crm_requests_total", code="200") for name in GRAPH}
    wiring = Wiring(SHAPES[shape], bed.running, model="payments")
    answers = wiring.many(50, x_country="fr") if shape == "router" else wiring.many(50)
    assert Counter(status for status, _ in answers) == {200: 50}
    assert {told["id"] for _, told in answers} == {f"request-{n}" for n in range(50)}
    for name, calls in wiring.calls.items():
        node = bed.running[name]
        metric, was = ("crm_requests_total", served) if "payments" in name else ("crm_node_requests_total", before)
        assert node.counted(metric, code="200") - was[name] == calls
    assert sum(wiring.calls.values()) == 50 * {"ensemble": 4}.get(shape, 2)


def test_the_transformer_gives_the_model_what_the_service_reads_itself(bed: Bed) -> None:
    graph = Wiring(SHAPES["transformer"], bed.running)
    for number in (1, 2, 10):
        status, told = bed.running["payments"].ask("POST", "/v2/models/payments/infer", payment(number))
        assert status == 200
        alone, through = _score(told), graph.predict(payment(number))[1]["outputs"][0]["data"][0]
        assert alone == through


def test_the_transformer_flags_an_unknown_customer_and_sends_large_ids_as_text(bed: Bed) -> None:
    known = payment(7)
    known["inputs"][1]["data"] = [2**60 + 1]
    status, told = _json(bed.running["features"].ask("POST", "/v2/models/features/infer", known))
    tensors = {tensor["name"]: tensor for tensor in told["outputs"]}
    assert status == 200 and told["parameters"] == {"flags": ["unknown:customer_history"]}
    assert (tensors["customer_id"]["datatype"], tensors["customer_id"]["data"]) == ("BYTES", [str(2**60 + 1)])
    assert tensors["customer_history__amount_eur_mean_7d"]["data"] == [None]
    status, told = Wiring(SHAPES["transformer"], bed.running).predict(known)
    assert status == 200 and told["parameters"] == {"flags": ["unknown:customer_history"]}


def test_a_client_can_set_no_flag_of_his_own(bed: Bed) -> None:
    sent = payment(3) | {"parameters": {"flags": [LICENCE, "late", 7]}}
    told = _json(bed.running["payments:request"].ask("POST", "/v2/models/payments/infer", sent))[1]
    assert told["parameters"] == {"flags": ["late"]}
    assert "parameters" not in _json(bed.running["payments"].ask("POST", "/v2/models/payments/infer", sent))[1]


def test_the_transformer_adds_the_stored_values(bed: Bed) -> None:
    told = _json(bed.running["features"].ask("POST", "/v2/models/payments/infer", payment(3)))[1]
    found = {tensor["name"]: tensor["data"][0] for tensor in told["outputs"]}
    assert (found["customer_history__count_7d"], found["customer_history__amount_eur_mean_7d"]) == stored_of(3)


def test_a_request_against_the_contract_is_refused_by_the_transformer(bed: Bed) -> None:
    status, told = Wiring(SHAPES["transformer"], bed.running).predict(payment(1, amount_eur=-1))
    assert (status, told["field"]) == (422, "amount_eur")


def test_the_combiner_answers_the_mean_and_keeps_the_flags(bed: Bed) -> None:
    replies = [_json(_ask_model(bed, name, 10))[1] for name in ("payments", "second", "third")]
    combined = Wiring(SHAPES["ensemble"], bed.running, "payments").predict(payment(10))[1]
    scores = [_score_of(told) for told in replies]
    assert _score_of(combined) == pytest.approx(np.mean(scores), abs=1e-12)
    assert combined["parameters"]["flags"] == ["unknown:customer_history"]
    assert combined["model_version"] == "1+2+3"


def test_the_header_decides_which_model_answers(bed: Bed) -> None:
    wiring = Wiring(SHAPES["router"], bed.running, "payments")
    versions = {
        country: wiring.predict(payment(5), x_country=country)[1]["model_version"] for country in ("de", "fr", "xx")
    }
    assert versions == {"de": "1", "fr": "2", "xx": "1"}


def test_the_bandit_learns_which_model_is_rewarded_and_a_restart_keeps_it(bed: Bed) -> None:
    bandit = bed.running["bandit"]
    for child, reward in ((0, 0), (1, 0), (2, 1)) * 30:
        assert bandit.ask("POST", "/v2/models/bandit/feedback", {"route": child, "reward": reward})[0] == 200
    wiring = Wiring(SHAPES["bandit"], bed.running, "payments")
    wiring.many(50)
    assert wiring.calls["third"] >= 45
    assert _json(bandit.ask("POST", "/v2/models/bandit/feedback", {"id": "request-1", "reward": 1}))[1]["route"] == 2
    assert bandit.ask("POST", "/v2/models/bandit/feedback", {"route": 3, "reward": 1})[0] == 422
    assert bandit.ask("POST", "/v2/models/bandit/feedback", {"id": "never", "reward": 1})[0] == 404
    with nodes(bed.root, ["bandit"], NodeThread) as again:
        assert again["bandit"].counted("crm_node_reward", child="2") == 1
        assert again["bandit"].counted("crm_node_reward", child="0") == 0


@pytest.mark.parametrize("model", ["payments", "payments-fr", "payments-it"])
def test_one_address_answers_for_several_models_by_name(bed: Bed, model: str) -> None:
    wiring = Wiring(SHAPES["multi-model"], bed.running, model)
    answers = wiring.many(50)
    assert {(status, told["model_name"]) for status, told in answers} == {(200, model)}
    assert wiring.calls == {"by-model": 50, "payments" if model == "payments" else "many": 50}


def test_a_model_that_nobody_has_is_not_found(bed: Bed) -> None:
    assert Wiring(SHAPES["multi-model"], bed.running, "payments-uk").predict(payment(1))[0] == 404


def test_the_explainers_contributions_add_up_to_the_raw_score(bed: Bed) -> None:
    status, told = _json(bed.running["explain"].ask("POST", "/v2/models/explain/explain", payment(4)))
    outputs = {tensor["name"]: tensor["data"][0] for tensor in told["outputs"]}
    model = Model.load(bed.root / "bundle")
    assert status == 200 and set(outputs) == {"score", "base", *COLUMNS}
    raw = outputs["base"] + sum(outputs[name] for name in COLUMNS)
    assert model.calibration is None
    assert 1 / (1 + np.exp(-raw)) == pytest.approx(outputs["score"], abs=1e-9)
    assert outputs["score"] == _score_of(_json(_ask_model(bed, "payments", 4))[1])


def test_detectors_learn_from_masked_events_and_tell_drift_and_outliers(bed: Bed) -> None:
    drift, outlier = bed.running["drift"], bed.running["outlier"]
    wiring = Wiring(SHAPES["ensemble"].children[0], bed.running)
    begun = sum(_kept(bed, name) for name in SERVICES)
    ship(bed.root, drift.port, int(begun))
    wiring.many(150)
    wiring.many(110, lambda number: payment(number, amount_eur=1_900.0))
    wiring.many(1, lambda number: payment(number, amount_eur=19_999.0))
    assert ship(bed.root, drift.port, 261) == 261
    shipped = begun + 261
    for detector in (drift, outlier):
        assert detector.counted("crm_detector_events_total", what="taken") == shipped
    assert outlier.counted("crm_outliers_by_field_total", field="amount_eur") >= 1
    assert drift.counted("crm_drift_psi", field="amount_eur") > 1
    assert drift.counted("crm_drift_ks_p", field="rental_days") > 1e-4
    assert drift.counted("crm_drift_ks_p", field="amount_eur") < 1e-6
    assert bed.index.kept.count(b"com.carrental.inference.v1") == shipped


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "io.seldon.serving.inference.request", "id": "1", "data": {"inputs": [payment(1)]}}, 422),
        (
            {"type": "com.carrental.inference.v1", "id": "1", "data": {"score": [1], "inputs": {"licence": [LICENCE]}}},
            422,
        ),
    ],
)
def test_a_detector_refuses_raw_requests(bed: Bed, event: dict[str, Any], status: int) -> None:
    kind = "application/cloudevents-batch+json"
    assert bed.running["drift"].ask("POST", "/events", [event], content_type=kind)[0] == status
    assert bed.running["drift"].ask("POST", "/events", [event])[0] == 415


def test_a_licence_number_is_found_nowhere(bed: Bed) -> None:
    for shape, graph in SHAPES.items():
        assert Wiring(graph, bed.running, "payments").predict(payment(3))[0] == 200, shape
    bed.running["explain"].ask("POST", "/v2/models/explain/explain", payment(3))
    broken = payment(3)
    broken["inputs"][3] = {"name": LICENCE, "shape": [1], "datatype": "FP64", "data": [LICENCE]}
    for name in ("features", "second", "explain"):
        bed.running[name].ask("POST", f"/v2/models/{name}/infer", broken)
        bed.running[name].ask("POST", f"/v2/models/{name}/infer", LICENCE.encode())
    time.sleep(2)
    ship(bed.root, bed.running["drift"].port)
    assert places_of(LICENCE, bed.root, bed.running) == []
    assert LICENCE.encode() not in bed.index.kept
    assert b"***" in bed.index.kept


def _ask_model(bed: Bed, name: str, number: int) -> tuple[int, bytes]:
    return bed.running[name].ask("POST", "/v2/models/payments/infer", payment(number))


def _names(unit: Unit) -> tuple[str, ...]:
    return (unit.name, *(name for child in unit.children for name in _names(child)))


def _plain(unit: Any) -> Any:
    return unit.name.partition(":")[0], unit.type, [_plain(child) for child in unit.children]


def _kept(bed: Bed, name: str) -> float:
    return bed.running[name].counted("crm_audit_written_total")


def _json(answer: tuple[int, bytes]) -> tuple[int, dict[str, Any]]:
    return answer[0], json.loads(answer[1])


def _score(reply: bytes) -> float:
    return _score_of(_json((200, reply))[1])


def _score_of(told: dict[str, Any]) -> float:
    return told["outputs"][0]["data"][0]
