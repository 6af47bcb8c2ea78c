"""Graphs of the repo of `graph_repo`, and a wiring that calls their nodes as Seldon's executor does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from graph_processes import Served
from graph_repo import payment


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
