"""Single nodes: what they answer, refuse, keep on disk and count."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background_program import free_port
from graph_processes import Index, NodeThread, nodes
from graph_repo import graph_repo, payment
from graph_wiring import Unit, Wiring
from prometheus_client import CollectorRegistry

from carrental_mlops.config import load
from carrental_mlops.config.deploy import Node as Named
from carrental_mlops.config.reader import repo_config
from carrental_mlops.deploy.image.context import bundles_into
from carrental_mlops.errors import DataError
from carrental_mlops.serving.audit_event import TYPE
from carrental_mlops.serving.load import Bundle
from carrental_mlops.serving.nodes import (
    Asked,
    DriftDetector,
    Mean,
    Median,
    Node,
    OutlierDetector,
    Place,
    ThompsonRouter,
    Weighted,
)
from carrental_mlops.serving.nodes.drift import ks_test
from carrental_mlops.serving.nodes.models import baked
from carrental_mlops.serving.nodes.outlier import Middle
from carrental_mlops.serving.nodes.server import main
from carrental_mlops.serving.refusal import Refusal

BATCH = "application/cloudevents-batch+json"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repo of `graph_repo`."""
    return graph_repo(tmp_path_factory.mktemp("nodes") / "repo")


@pytest.fixture
def make(root: Path, tmp_path: Path) -> Callable[..., Any]:
    """A started node of a class, with its state in a folder of the test's own."""

    def made(kind: type[Node], **settings: Any) -> Node:
        place = Place(tmp_path, repo_config(load(root)), "node", CollectorRegistry())
        node = kind(place, kind.Settings(**settings))
        asyncio.run(node.start())
        return node

    return made


def asked(node: Node, call: Any, document: Any, **headers: str) -> Any:
    """What `node` answers."""
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    body = json.dumps(document).encode()
    status, told, _ = asyncio.run(node.answer(Asked(call, "node", body, given, {}, 0.0)))
    assert status == 200
    return json.loads(told)


def child(score: float | None, decision: str, reason: str = "", **more: Any) -> dict[str, Any]:
    """One model's reply."""
    values = {"score": ("FP64", score), "decision": ("BYTES", decision), "reason": ("BYTES", reason)}
    outputs = [{"name": n, "shape": [1], "datatype": k, "data": [v]} for n, (k, v) in values.items()]
    return {"model_name": "m", "model_version": "1", "id": "a", "outputs": outputs, **more}


CHILDREN = [child(0.2, "accept"), child(0.4, "accept", "low"), child(0.9, "block", "high")]


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (Mean, {}, (0.5, "accept", "low")),
        (Mean, {"threshold": 0.5}, (0.5, "block", "high")),
        (Median, {}, (0.4, "accept", "low")),
        (Weighted, {"weights": "1, 1, 6"}, (0.75, "block", "high")),
        (Weighted, {"weights": "0, 1, 0"}, (0.4, "accept", "low")),
    ],
)
def test_a_combiner_makes_one_answer_of_several(
    make: Callable[..., Any], kind: type[Node], settings: dict[str, Any], expected: tuple[float, str, str]
) -> None:
    told = asked(make(kind, **settings), "aggregate", CHILDREN)
    score, decision, reason = (tensor["data"][0] for tensor in told["outputs"])
    assert (round(score, 9), decision, reason) == expected


def test_a_row_that_a_business_rule_blocked_stays_blocked_and_flags_are_kept_once(make: Callable[..., Any]) -> None:
    ruled = child(0.1, "block", "rule:stolen_card", parameters={"flags": ["late", "stale:a"]})
    told = asked(make(Mean), "aggregate", [*CHILDREN[:2], ruled, child(0, "accept", parameters={"flags": ["late"]})])
    assert [tensor["data"][0] for tensor in told["outputs"][1:]] == ["block", "rule:stolen_card"]
    assert told["parameters"] == {"flags": ["late", "stale:a"]}


@pytest.mark.parametrize(
    ("document", "status"),
    [({}, 400), ([], 400), ([{"outputs": []}], 422), ([7], 422), ([child(None, "accept")], 422)],
)
def test_a_combiner_refuses_what_is_no_list_of_replies(make: Callable[..., Any], document: Any, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        asked(make(Mean), "aggregate", document)
    assert refused.value.status == status


def test_bandits_that_share_a_folder_share_what_they_learnt(make: Callable[..., Any]) -> None:
    one, other = make(ThompsonRouter, seed=1), make(ThompsonRouter, seed=2)
    for _ in range(20):
        asked(one, "feedback", {"route": 1, "reward": 1})
        asked(other, "feedback", {"route": 0, "reward": 0})
    children = [asked(node, "route", payment(1))[0] for node in (one, other) * 20]
    assert children.count(1) >= 36
    state = json.loads((one.place.state / "arms.json").read_text())
    assert state == {"arms": [[0.0, 20.0], [20.0, 0.0]]}


def test_a_bandit_finds_the_better_model_from_rewards_alone(make: Callable[..., Any]) -> None:
    bandit, draws = make(ThompsonRouter, children=3, seed=3), np.random.default_rng(0)
    chosen = []
    for number in range(200):
        arm = asked(bandit, "route", {"id": f"r{number}"})[0]
        chosen.append(arm)
        asked(bandit, "feedback", {"id": f"r{number}", "reward": int(draws.random() < (0.2, 0.8, 0.4)[arm])})
    assert chosen[-100:].count(1) >= 75


def test_a_bandits_file_for_other_children_is_refused_with_the_mend(make: Callable[..., Any], tmp_path: Path) -> None:
    asked(make(ThompsonRouter), "feedback", {"route": 0, "reward": 1})
    with pytest.raises(DataError, match="not what 3 children left"):
        make(ThompsonRouter, children=3)


def test_mahalanobis_sees_a_strange_pair_of_usual_values_and_robust_z_does_not() -> None:
    draws = np.random.default_rng(0)
    first = draws.normal(100, 10, 2_000)
    table = np.column_stack([first, 2 * first + draws.normal(0, 2, 2_000), np.full(2_000, 3.0)])
    pair = np.array([115.0, 170.0])
    for method, strange in (("mahalanobis", True), ("robust_z", False)):
        middle = Middle.of(("a", "b", "constant"), table, method, 0.001)
        again = Middle.from_json(json.loads(json.dumps(middle.to_json())))
        assert again.names == ("a", "b") and (again.distance(pair)[0] > again.limit) is strange
        assert again.distance(np.array([100.0, 900.0]))[0] > again.limit
        assert again.distance(np.array([np.nan, np.nan]))[0] < again.limit


def test_the_kolmogorov_smirnov_test_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    draws = np.random.default_rng(0)
    for shift in (0.0, 0.1, 1.0):
        reference, values = np.sort(draws.normal(size=900)), draws.normal(shift, size=400)
        expected = stats.ks_2samp(reference, values, method="asymp")
        statistic, p = ks_test(reference, values)
        assert statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert p == pytest.approx(expected.pvalue, abs=0.02)


def event(number: int, amount_eur: float | None = None, **more: Any) -> dict[str, Any]:
    """A masked event of the audit."""
    amount = float(np.random.default_rng(number).uniform(0, 100)) if amount_eur is None else amount_eur
    inputs = {"amount_eur": [amount], "payment_id": [number], "licence": "***"}
    data = {"model": {"version": "1"}, "inputs": inputs, "features": {}, "score": [amount / 100]}
    return {"id": f"e{number}", "type": TYPE, "data": data, **more}


def test_a_detector_takes_an_event_once_and_only_when_the_next_has_it(tmp_path: Path) -> None:
    index, port = Index(), free_port()
    root = graph_repo(tmp_path / "repo", {"outlier": port, "index": index.port})
    events = [event(number) for number in range(120)]
    with nodes(root, ["drift"], NodeThread) as alone:
        assert alone["drift"].ask("POST", "/events", events, content_type=BATCH)[0] == 503
        assert alone["drift"].counted("crm_detector_events_total", what="taken") == 0
        with nodes(root, ["outlier"], NodeThread, {"outlier": port}):
            for taken in (120, 0):
                status, told = alone["drift"].ask("POST", "/events", events, content_type=BATCH)
                assert (status, json.loads(told)) == (200, {"taken": taken})
            assert alone["drift"].counted("crm_detector_events_total", what="again") == 120
        assert alone["drift"].counted("crm_drift_reference_rows", field="score", version="1") == 100
    index.stop()
    with nodes(root, ["drift"], NodeThread) as again:
        assert set(json.loads((root / ".crm/nodes/drift/reference.json").read_text())) == {"amount_eur", "score@1"}
        assert again["drift"].ask("GET", "/drift") == (200, b'{"fields":{}}')


def _watching(folder: Path, stops: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What both detectors tell after 600 events in batches of 50, started anew before those that `stops` names."""
    index, port = Index(), free_port()
    root = graph_repo(folder, {"outlier": port, "index": index.port})
    batches = [[event(n, 900.0 if n > 560 else None) for n in range(at, at + 50)] for at in range(0, 600, 50)]
    told: list[bytes] = []
    for first, last in itertools.pairwise((0, *stops, len(batches))):
        with nodes(root, ["drift", "outlier"], NodeThread, {"outlier": port}) as running:
            for again in (batches[first - 1 : first], batches[first:last]):  # the last batch comes a second time
                for batch in again:
                    assert running["drift"].ask("POST", "/events", batch, content_type=BATCH)[0] == 200
            told = [running[name].ask("GET", page)[1] for name, page in (("drift", "/drift"), ("outlier", "/outliers"))]
            share = running["outlier"].counted("crm_outlier_share")
    index.stop()
    return json.loads(told[0]), json.loads(told[1]), share


def test_detectors_that_are_started_anew_go_on_where_they_were(tmp_path: Path) -> None:
    alone = _watching(tmp_path / "alone", ())
    again = _watching(tmp_path / "again", (1, 7))  # in the middle of a reference, between two comparisons
    assert again == alone
    assert alone[0]["fields"]["amount_eur"]["psi"] > 0.2 and len(alone[1]["newest"]) >= 39 and alone[2] > 0


def test_a_restarted_detector_tells_what_it_found_before_the_next_event(tmp_path: Path) -> None:
    index, port = Index(), free_port()
    root = graph_repo(tmp_path / "repo", {"outlier": port, "index": index.port})
    names, ports = ["drift", "outlier"], {"outlier": port}
    with nodes(root, names, NodeThread, ports) as running:
        assert running["drift"].ask("POST", "/events", [event(n) for n in range(250)], content_type=BATCH)[0] == 200
        before = running["drift"].ask("GET", "/drift")[1]
        psi = running["drift"].counted("crm_drift_psi", field="amount_eur")
    with nodes(root, names, NodeThread, ports) as running:
        assert running["drift"].ask("GET", "/drift")[1] == before != b'{"fields":{}}'
        assert running["drift"].counted("crm_drift_psi", field="amount_eur") == pytest.approx(psi, abs=1e-6)
        assert running["drift"].counted("crm_drift_reference_rows", field="amount_eur") == 100
        assert running["outlier"].counted("crm_outlier_share") > 0
    index.stop()


def test_a_detectors_state_that_it_did_not_leave_is_refused_with_the_mend(make: Callable[..., Any]) -> None:
    for kind in (DriftDetector, OutlierDetector):
        state = make(kind).place.state / "state.json"
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text('{"seen": [], "kept": 3}')
        with pytest.raises(DataError, match="remove it: what was seen"):
            make(kind)
        state.unlink()


def test_an_event_in_the_clear_is_refused_with_its_batch(root: Path) -> None:
    shown = event(1)
    shown["data"]["inputs"]["licence"] = ["B072"]
    with nodes(root, ["outlier"], NodeThread) as running:
        status, told = running["outlier"].ask("POST", "/events", [event(2), shown], content_type=BATCH)
        assert status == 422 and b"in the clear" in told and b"B072" not in told
        assert running["outlier"].counted("crm_detector_events_total", what="refused") == 2


def test_a_detector_asks_for_the_shippers_token(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    (root / "token").write_text("t" * 40)
    text = (root / "config" / "crm.yaml").read_text()
    (root / "config" / "crm.yaml").write_text(text.replace("method: mahalanobis, ", "token_file: token, "))
    with nodes(root, ["outlier"], NodeThread) as running:
        ask = running["outlier"].ask
        assert ask("POST", "/events", [event(1)], content_type=BATCH)[0] == 401
        bearer = "Bearer " + "t" * 40
        assert ask("POST", "/events", [event(1)], content_type=BATCH, authorization=bearer)[0] in (200, 503)


def test_a_node_holds_callers_to_the_services_tokens(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    (root / "tokens").write_text("gateway " + "s" * 40 + "\n")
    text = (root / "config" / "crm.yaml").read_text()
    auth = "serving:\n  auth: {kind: bearer, token_file: tokens}\n"
    (root / "config" / "crm.yaml").write_text(text.replace("serving:\n", auth, 1))
    with nodes(root, ["mean", "many"], NodeThread) as running:
        for name, path, body in (
            ("mean", "/v2/models/mean/aggregate", CHILDREN),
            ("many", "/v2/models/payments-fr/infer", payment(1)),
        ):
            assert running[name].ask("POST", path, body)[0] == 401
            assert running[name].ask("POST", path, body, authorization="Bearer " + "s" * 40)[0] == 200


def test_under_kserve_the_transformer_asks_the_predictor_itself(root: Path) -> None:
    with nodes(root, ["payments:request"], NodeThread) as running:
        predictor = running["payments:request"]
        transformer = NodeThread(root, "features", free_port(), predictor_host=f"127.0.0.1:{predictor.port}")
        try:
            transformer.wait_ready()
            status, told = transformer.ask(
                "POST", "/v2/models/payments/infer", payment(4) | {"outputs": [{"name": "score"}]}
            )
            assert status == 200 and [t["name"] for t in json.loads(told)["outputs"]] == ["score"]
            assert transformer.ask("POST", "/v2/models/payments/infer", payment(4, amount_eur=-1))[0] == 422
            predictor.begin_stop()
            predictor.end()
            assert transformer.ask("POST", "/v2/models/payments/infer", payment(4))[0] == 503
        finally:
            transformer.begin_stop()
            transformer.end()


def test_the_server_takes_kserves_options_and_names_the_nearest_node(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carrental_mlops.serving.logs.log_to_stderr", lambda: None)
    kserve = ["--model_name", "payments", "--predictor_host", "x", "--http_port", "0", "--workers", "1"]
    assert main(["--repo", str(root), "--name", "feature", *kserve]) == 1
    assert "no node `feature` in `deploy.nodes`" in (said := capsys.readouterr().err) and "features" in said


def test_nodes_import_no_library_of_the_pipelines() -> None:
    code = "import sys, carrental_mlops.serving.nodes.opening; print(sorted({'pandas', 'mlflow', 'feast', 'zenml', 'sklearn', 'lightgbm', 'shap'} & set(sys.modules)))"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_models_of_further_nodes_lie_in_the_services_bundle_and_answer_there(root: Path, tmp_path: Path) -> None:
    named = [
        {"name": "second", "kind": "model", "uses": "x:Y", "settings": {"version": 2}},
        {"name": "many", "kind": "model", "uses": "x:Y", "settings": {"versions": "payments-fr=3, payments-it=3"}},
        {"name": "mean", "kind": "combiner", "uses": "x:Y"},
    ]
    wanted = {folder: told for node in named for folder, told in baked(Named.model_validate(node)).items()}
    france, italy = "nodes/many/payments-fr", "nodes/many/payments-it"
    assert wanted == {"nodes/second": ("2", None), france: ("3", "payments-fr"), italy: ("3", "payments-it")}
    repo = tmp_path / "repo"
    shutil.copytree(root, repo)
    shutil.rmtree(repo / "bundle")
    third, second = Bundle.read(root / "bundles" / "third"), Bundle.read(root / "bundles" / "second")
    names = {france: "payments-fr", italy: "payments-it"}
    further = {f: replace(third, identity=replace(third.identity, name=name)) for f, name in names.items()}
    bundles_into(repo / "bundle", Bundle.read(root / "bundle"), {**further, "nodes/second": second})
    text = (repo / "config" / "crm.yaml").read_text().replace("bundle: bundles/second", 'version: "2"')
    text = text.replace("folder: countries", 'versions: "payments-fr=3, payments-it=3"')
    (repo / "config" / "crm.yaml").write_text(text)
    with nodes(repo, ["second", "many"], NodeThread) as running:
        asked_of = (("second", "second", "2"), ("many", "payments-fr", "3"), ("many", "payments-it", "3"))
        for node, model, version in asked_of:
            status, told = running[node].ask("POST", f"/v2/models/{model}/infer", payment(1))
            assert status == 200 and json.loads(told)["model_version"] == version


def test_an_explainer_beside_a_transformer_reads_the_stored_features_itself(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    text = (root / "config" / "crm.yaml").read_text().replace("features: {budget", "features: {source: request, budget")
    text = text.replace(':ShapExplainer"}', ':ShapExplainer", settings: {source: store}}')
    (root / "config" / "crm.yaml").write_text(text)
    with nodes(root, ["features", "payments", "explain"], NodeThread) as running:
        told = json.loads(running["explain"].ask("POST", "/v2/models/explain/explain", payment(4))[1])
        outputs = {tensor["name"]: tensor["data"][0] for tensor in told["outputs"]}
        graph = Unit("features", "TRANSFORMER", (Unit("payments", "MODEL"),))
        answer = Wiring(graph, running).predict(payment(4))[1]
        assert outputs["score"] == answer["outputs"][0]["data"][0]
        assert outputs["customer_history__amount_eur_mean_7d"] != 0
