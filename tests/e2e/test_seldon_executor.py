"""Seldon's own executor, as the chart starts it, answers 1,000 requests through the nodes of each shape.

`SELDON_EXECUTOR` names its binary (`go build ./cmd/executor` in `executor/` of a checkout of Seldon Core, with
`operator/` copied to `executor/_operator`). It listens on every address: it cannot be told otherwise.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from background_program import free_port
from graph_processes import NodeProcess, Served, nodes
from graph_repo import graph_repo, payment
from rendered_repos import NEW, config_of, node

from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.values import as_helm, values_of

EXECUTOR = os.environ.get("SELDON_EXECUTOR")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not EXECUTOR, reason="no SELDON_EXECUTOR: the binary of Seldon Core's executor"),
]
REQUESTS = 1_000
COUNTRIES = ("payments", "payments-fr", "payments-it")
"""Models of the shape `multi_model`, each asked for by its name."""
_MODELS = [node("second", "model", "OneModel", bundle="second"), node("third", "model", "OneModel", bundle="third")]
SHAPES: Mapping[str, list[dict[str, Any]]] = {
    "transformer": [node("features", "transformer", "FeatureTransformer")],
    "ensemble": [node("mean", "combiner", "Mean"), *_MODELS],
    "router": [node("bandit", "router", "ThompsonRouter"), *_MODELS],
    "multi_model": [node("by-model", "router", "ModelRouter"), node("many", "model", "ManyModels", folder="countries")],
}
"""Nodes of a shape, named as those of `graph_repo`."""


@contextmanager
def executor(shape: str, served: Mapping[str, Served], folder: Path) -> Iterator[Served]:
    """The container that the chart adds, as a process; each node answers where it runs here."""
    config = config_of(shape=shape, nodes=SHAPES[shape]).model_copy(update={"service": "payments"})
    objects = helm.render(as_helm(values_of(config, "prod", NEW)), "payments", "models")
    [made] = [one for one in objects if one["kind"] == "SeldonDeployment"]
    containers = made["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    [container] = [one for one in containers if one["name"] == "seldon-container-engine"]
    [told] = [one["value"] for one in container["env"] if one["name"] == "ENGINE_PREDICTOR"]
    predictor = json.loads(base64.b64decode(told))
    _move(predictor["graph"], served)
    port = free_port()
    arguments = [one for one in container["args"] if not one.startswith(("--http_port", "--grpc_port"))]
    environment = {**os.environ, "ENGINE_PREDICTOR": base64.b64encode(json.dumps(predictor).encode()).decode()}
    with (folder / "executor.log").open("wb") as log:
        process = subprocess.Popen(
            [str(EXECUTOR), *arguments, f"--http_port={port}", f"--grpc_port={free_port()}"],
            env=environment, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield _Executor(process, port, folder / "executor.log")
        finally:
            process.kill()
            process.wait()


def _move(unit: dict[str, Any], served: Mapping[str, Served]) -> None:
    """Where each node answers in this test; on one machine they cannot have the ports that they have in a pod."""
    port = served[unit["name"]].port
    unit["endpoint"] |= {"service_host": "127.0.0.1", "service_port": port, "httpPort": port}
    for child in unit["children"]:
        _move(child, served)


class _Executor(Served):
    """The executor's own HTTP server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        super().__init__("executor", port)
        self._process, self._log = process, log

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3_000:]

    def alive(self) -> bool:
        return self._process.poll() is None


def _asked(served: Served) -> int:
    """Requests that a node or the service has answered with 200."""
    own = served.counted("crm_node_requests_total", code="200")
    return int(own or served.counted("crm_requests_total", code="200"))


def _path(shape: str, number: int) -> str:
    model = COUNTRIES[number % len(COUNTRIES)] if shape == "multi_model" else "payments"
    return f"/v2/models/{model}/infer"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_executor_of_the_chart_answers_a_thousand_requests(tmp_path: Path, shape: str) -> None:
    model = "payments:request" if shape == "transformer" else "payments"
    names = [model, *(one["name"] for one in SHAPES[shape])]
    with nodes(graph_repo(tmp_path / "repo"), names, NodeProcess) as running:
        served = {name.partition(":")[0]: one for name, one in running.items()}
        with executor(shape, served, tmp_path) as engine:
            engine.wait_ready(60)
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda number: engine.ask("POST", _path(shape, number), payment(number)),
                                        range(REQUESTS)))  # fmt: skip
            assert Counter(status for status, _ in answers) == {200: REQUESTS}, (answers[0], engine.said)
            said = [json.loads(body) for _, body in answers]
            assert {one["id"] for one in said} == {f"request-{n}" for n in range(REQUESTS)}
            if shape == "multi_model":
                assert all(one["model_name"] == COUNTRIES[n % len(COUNTRIES)] for n, one in enumerate(said)), said[:3]
            asked = {name: _asked(one) for name, one in served.items()}
    wanted = {"transformer": 2, "ensemble": 4, "router": 2, "multi_model": 2}[shape] * REQUESTS
    assert sum(asked.values()) == wanted and min(asked.values()) > 0, asked
