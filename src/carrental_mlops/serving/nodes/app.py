"""A node over HTTP: the service's application with the calls of one node in place of a model's."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from carrental_mlops.config.serving import Serving
from carrental_mlops.serving.app import App, Reply, Scope, server_metadata
from carrental_mlops.serving.auth import Door
from carrental_mlops.serving.endpoint import Endpoint, Identity
from carrental_mlops.serving.nodes.base import JSON, Asked, Call, Node
from carrental_mlops.serving.nodes.events import EVENT_TYPES
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.traceparent import CURRENT, passed_on

if TYPE_CHECKING:
    from carrental_mlops.serving.traces import Traces

_log = logging.getLogger("carrental_mlops.serving.nodes")
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class NodeMetrics(Metrics):
    """`crm_node_requests` and `crm_node_request_seconds`, by node, kind and call, and what the node itself tells.

    Those of a service are there for the application, and are not told.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(node.place.name, "", "")
        told, names = node.place.registry, ("node", "kind", "call")
        ProcessCollector(registry=told)
        self._node = {"node": node.place.name, "kind": node.kind}
        self._calls = Counter("crm_node_requests", "Calls by status", (*names, "code"), registry=told)
        self._call_seconds = Histogram(
            "crm_node_request_seconds", "Seconds to an answer", names, buckets=_BUCKETS, registry=told
        )
        self._together = CollectorRegistry()
        self._together.register(_Together((told, *node.registries())))

    def called(self, call: str, code: int, seconds: float) -> None:
        """Count one call."""
        self._calls.labels(**self._node, call=call, code=str(code)).inc()
        self._call_seconds.labels(**self._node, call=call).observe(seconds)

    def answered(self, code: int, seconds: float) -> None:
        """Count a call that was shed before it was read."""
        self._calls.labels(**self._node, call="", code=str(code)).inc()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._together)


class _Together(Collector):
    """Several registries as one: families of one name are told once, a sample of one name and labels too."""

    def __init__(self, registries: Iterable[CollectorRegistry]) -> None:
        self._registries = tuple(registries)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        seen = set()
        for family in (family for registry in self._registries for family in registry.collect()):
            told = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                if key not in seen:
                    seen.add(key)
                    told.samples.append(sample)
        yield from families.values()


class _NodeEndpoint:
    """The part of an endpoint that the application needs to live."""

    prompt = False

    def __init__(self, node: Node, settings: Serving) -> None:
        self.settings = settings.model_copy(update={"grpc_port": None, "workers": 1})
        self.identity = Identity(node.place.name, "", "")
        self.metadata = node.metadata
        self.start, self.stop = node.start, node.stop


class NodeApp(App):
    """An ASGI application around one node.

    Args:
        node: answers.
        settings: of `serving`.
        door: finds out who asks; None where everybody may, or the node itself does.
        traces: keeps spans; None for no traces.
    """

    def __init__(self, node: Node, settings: Serving, door: Door | None = None, traces: Traces | None = None) -> None:
        # The application uses of its endpoint what this one has; the rest is for answering with a model.
        endpoint, self._told = cast("Endpoint", _NodeEndpoint(node, settings)), NodeMetrics(node)
        super().__init__(endpoint, self._told, door, traces)
        self.node, self._spans = node, traces
        names = dict.fromkeys((node.place.name, node.place.config.service, *node.models()))
        self._calls: dict[str, tuple[Call, str]] = {}
        for call in node.calls:
            if call == "events":
                self._calls["/events"] = call, ""
            else:
                self._calls |= {f"/v2/models/{name}/{call}": (call, name) for name in names}
        self.infer_paths = frozenset(self._calls)
        pages = {"/v2": server_metadata, **{f"/v2/models/{name}": node.metadata for name in names}, **node.pages()}
        kept = ("/v2/health/live", "/v2/health/ready", "/metrics")
        self._pages = {
            **{path: self._pages[path] for path in kept},
            **{path: functools.partial(_page, told) for path, told in pages.items()},
            **{f"/v2/models/{name}/ready": self._readiness for name in names},
        }
        self._open |= {f"/v2/models/{name}/ready" for name in names}

    async def infer(self, scope: Scope, body: Callable[[], Awaitable[bytes]] | bytes) -> Reply:
        """One call of the graph: HTTP status, body and headers; counted and traced."""
        started = scope.get("crm.started") or time.perf_counter()
        call, model = self._calls[scope["path"]]
        given: dict[bytes, bytes] = dict(scope["headers"])
        header = given.get(b"traceparent")
        traced = self._spans.begin(header) if self._spans else passed_on(header)
        CURRENT.set(traced)
        try:
            if scope["method"] != "POST":
                raise Refusal(405, "POST was expected")
            if self.door:
                await self.door.caller(scope["headers"], scope["client"])
            self._hold(call, given)
            sent = self._plain(given, body if isinstance(body, bytes) else await body())
            inner = {name: value for name, value in scope.items() if name not in ("crm.done", "crm.started")}
            if self.node.own_door:  # it reads the body as it was sent
                inner["headers"] = [pair for pair in scope["headers"] if pair[0] != b"content-encoding"]
            trace = traced.traceparent if traced else None
            code, told, headers = await self.node.answer(Asked(call, model, sent, given, inner, started, trace))
        except Refusal as refusal:
            code, told, headers = _refused(refusal)
        except Exception:
            _log.exception("a call failed")
            code, told, headers = 500, b'{"error":"the node failed; its log has the reason"}', JSON
        finally:
            CURRENT.set(None)
            if done := scope.get("crm.done"):
                done()
        self._told.called(call, code, time.perf_counter() - started)
        if traced and self._spans:
            self._spans.end(traced, code)
        return code, told, headers

    def _hold(self, call: Call, given: dict[bytes, bytes]) -> None:
        if call != "events":
            self._hold_headers(given)
        elif given.get(b"content-type", b"").partition(b";")[0].strip().lower() not in EVENT_TYPES:
            raise Refusal(415, "CloudEvents were expected")


def _page(told: Callable[[], Any]) -> Reply:
    return 200, orjson.dumps(told()), JSON


def _refused(refusal: Refusal) -> Reply:
    told = {"error": refusal.message} | ({"field": refusal.field} if refusal.field else {})
    return refusal.status, orjson.dumps(told), JSON
