"""Sends requests to tracks as a rendered VirtualService says: by header, by weight, with a copy for a shadow."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from graph_processes import Served

INFER = "/v2/models/payments/infer"


class Gateway:
    """Our own stand-in for Istio's gateway, written after its reference of VirtualService; Istio is not run here.

    Args:
        route: `spec` of the VirtualService.
        tracks: track to what answers for it; a host is `<service>-<track>.<namespace>.…`.
        seed: of the draws by weight.
    """

    def __init__(self, route: Mapping[str, Any], tracks: Mapping[str, Served], seed: int = 0) -> None:
        self._ways: Sequence[Mapping[str, Any]] = route["http"]
        self._tracks, self._draws, self._lock = tracks, random.Random(seed), threading.Lock()

    def ask(self, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        """(status, reply) of the track that answers; a copy's answer is not waited for by the caller in a mesh."""
        way = next(way for way in self._ways if self._matches(way, headers))
        status, reply = self._track(self._destination(way["route"])).ask("POST", INFER, body, **headers)
        if "mirror" in way and self._draw() < way["mirrorPercentage"]["value"]:
            self._track(way["mirror"]).ask("POST", INFER, body, **headers)
        return status, json.loads(reply)

    def many(self, count: int, body: Callable[[int], Any], headers: Callable[[int], dict[str, str]]) -> list[Any]:
        """Answers to `count` requests from four callers at once."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda number: self.ask(body(number), **headers(number)), range(count)))

    def _matches(self, way: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = [{name: one["exact"] for name, one in match["headers"].items()} for match in way.get("match", ())]
        return not wanted or any(one.items() <= sent.items() for one in wanted)

    def _destination(self, route: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        drawn, so_far = self._draw(), 0.0
        for one in route:
            so_far += one.get("weight", 100)
            if drawn < so_far:
                found: Mapping[str, Any] = one["destination"]
                return found
        raise AssertionError(f"weights end at {so_far}")

    def _draw(self) -> float:
        with self._lock:
            return 100 * self._draws.random()

    def _track(self, destination: Mapping[str, Any]) -> Served:
        return self._tracks[str(destination["host"]).partition(".")[0].rpartition("-")[2]]
