"""The service over HTTP: Open Inference Protocol v2 on bare ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from carrental_mlops.serving import protocol
from carrental_mlops.serving.auth import Door
from carrental_mlops.serving.endpoint import Endpoint
from carrental_mlops.serving.gauges import Gauges
from carrental_mlops.serving.openapi import openapi
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.traceparent import CURRENT, Traced, passed_on
from carrental_mlops.serving.versions import dependencies

if TYPE_CHECKING:
    from carrental_mlops.serving.grpc_server import GrpcServer
    from carrental_mlops.serving.traces import Traces

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Reply = tuple[int, bytes, Headers]
"""HTTP status, body, headers."""

JSON: Headers = [(b"content-type", b"application/json")]
"""Headers of the usual answer."""
_BINARY: Headers = [(b"content-type", b"application/octet-stream")]
_KINDS = (b"application/json", b"application/octet-stream")
_LENGTH = b"inference-header-content-length"
_HERE = contextlib.nullcontext()
"""Instead of a timeout, where the body came with its head."""
_GRACE_S = 20
"""Seconds that gRPC's calls in work have once HTTP's are answered."""
log = logging.getLogger("carrental_mlops.serving")


class App:
    """An ASGI application around one endpoint.

    Args:
        endpoint: the loaded model.
        metrics: counts what is answered.
        door: finds out who asks; None where everybody may.
        traces: keeps spans; None for no traces.
    """

    def __init__(
        self, endpoint: Endpoint, metrics: Metrics, door: Door | None = None, traces: Traces | None = None
    ) -> None:
        self.endpoint, self.metrics, self.door, self._traces = endpoint, metrics, door, traces
        self.begin_trace: Callable[[bytes | None], Traced | None] = traces.begin if traces else passed_on
        """The trace of a request by the `traceparent` that it came with."""
        self.ready = self.draining = False
        self.before_ready: Callable[[], Awaitable[None]] | None = None
        """Awaited once the service is warm and before it is ready."""
        self.failure: Exception | None = None
        """Why it did not start."""
        self._grpc: GrpcServer | None = None
        self.gauges = Gauges(metrics)
        identity = endpoint.identity
        base = f"/v2/models/{identity.name}"
        bases = (base, f"{base}/versions/{identity.version}")
        self.infer_paths = frozenset(f"{path}/infer" for path in bases)
        described = functools.cache(lambda: orjson.dumps(openapi(endpoint)))
        self._pages: dict[str, Callable[[], Reply]] = {
            "/v2": lambda: (200, orjson.dumps(server_metadata()), JSON),
            "/v2/health/live": lambda: (200, b'{"live":true}', JSON),
            "/v2/health/ready": self._readiness,
            "/metrics": lambda: (200, metrics.text(), [(b"content-type", metrics.content_type)]),
            "/openapi.json": lambda: (200, described(), JSON),
            **{path: lambda: (200, orjson.dumps(endpoint.metadata()), JSON) for path in bases},
            **{f"{path}/ready": self._readiness for path in bases},
        }
        self._open = {"/v2/health/live", "/v2/health/ready", "/metrics", *(f"{path}/ready" for path in bases)}
        self._max_body = endpoint.settings.max_body_kb << 10

    @property
    def up(self) -> bool:
        """Whether requests should be sent here."""
        return self.ready and not self.draining

    @property
    def prompt(self) -> bool:
        """Whether an answer waits for nothing, the audit aside."""
        return self.door is None and self.endpoint.prompt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the process."""
        if scope["type"] == "http":
            if scope["path"] in self.infer_paths:
                await self._infer(scope, receive, send)
            else:
                await self._page(scope, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self.infer(scope, lambda: self._timely(receive, scope.get("crm.whole", False)))
        await self._reply(send, *reply)

    async def infer(self, scope: Scope, body: Callable[[], Awaitable[bytes]] | bytes) -> Reply:
        """One inference: HTTP status, body and headers of its answer; counted and traced.

        Args:
            scope: ASGI's.
            body: of the request, or what waits for it.
        """
        started = scope.get("crm.started") or time.perf_counter()
        headers = JSON
        given = dict(scope["headers"])
        traced = self.begin_trace(given.get(b"traceparent"))
        CURRENT.set(traced)
        try:
            if scope["method"] != "POST":
                raise Refusal(405, "POST was expected")
            caller = await self.door.caller(scope["headers"], scope["client"]) if self.door else None
            self._hold_headers(given)
            sent = body if isinstance(body, bytes) else await body()
            code, written, headers = await self._answer(self._plain(given, sent), started, given, traced, caller)
        except Refusal as refusal:
            code, written, headers = _refused(refusal)
            if code == 405:
                headers = [*headers, (b"allow", b"POST")]
            elif code >= 500:
                self.metrics.failed(refusal.cause)
        except Exception as error:
            log.exception("a request failed")
            self.metrics.failed(type(error).__name__)
            code, written = 500, b'{"error":"the service failed; its log has the reason"}'
        finally:
            CURRENT.set(None)
            if done := scope.get("crm.done"):
                done()
        self.metrics.answered(code, time.perf_counter() - started)
        self.end_trace(traced, code)
        return code, written, headers

    def end_trace(self, traced: Traced | None, code: int) -> None:
        """The request was answered with HTTP status `code`, or what stands for it."""
        if traced and self._traces:
            self._traces.end(traced, code)

    async def _answer(
        self, body: bytes, started: float, given: dict[bytes, bytes], traced: Traced | None, caller: str | None
    ) -> Reply:
        endpoint = self.endpoint
        inference = protocol.read(body, endpoint.signature.names, endpoint.settings.max_rows, _length(given, body))
        trace = traced.traceparent if traced else None
        event, outputs = await endpoint.answer(inference, started, trace, caller)
        if endpoint.switched is None:
            self.metrics.scored(event.answer.scores, event.answer.decisions)
        if traced:
            traced.rows, traced.flags = inference.rows, event.flags
        flags = {"flags": list(event.flags)} if event.flags else None
        identity = event.model or endpoint.identity
        written = protocol.write(inference, event.id, identity.name, identity.version, outputs, flags)
        headers = JSON
        if written.header_length is not None:
            headers = [*_BINARY, (_LENGTH, b"%d" % written.header_length)]
        if trace:
            headers = [*headers, (b"traceparent", trace.encode())]
        return 200, written.body, headers

    def _hold_headers(self, given: dict[bytes, bytes]) -> None:
        kind = given.get(b"content-type")
        if kind is not None and kind not in _KINDS and kind.partition(b";")[0].strip().lower() not in _KINDS:
            raise Refusal(415, "content-type must be application/json or application/octet-stream")
        if given.get(b"content-encoding", b"identity").lower() not in (b"identity", b"gzip"):
            raise Refusal(415, "content-encoding must be gzip or identity")
        announced = given.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._max_body:
            raise Refusal(413, f"the body is over {self._max_body >> 10} KiB")

    async def _timely(self, receive: Receive, whole: bool) -> bytes:
        try:
            async with _HERE if whole else asyncio.timeout(self.endpoint.settings.body_timeout_s):
                return await self._received(receive)
        except TimeoutError:
            raise Refusal(408, "the body did not arrive in time") from None

    def _plain(self, given: dict[bytes, bytes], body: bytes) -> bytes:
        if len(body) > self._max_body:
            raise Refusal(413, f"the body is over {self._max_body >> 10} KiB")
        return self._inflated(body) if given.get(b"content-encoding", b"").lower() == b"gzip" else body

    async def _received(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client left")
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client left")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise Refusal(413, f"the body is over {self._max_body >> 10} KiB")
        return b"".join(parts)

    def _inflated(self, body: bytes) -> bytes:
        inflate = zlib.decompressobj(31)
        try:
            plain = inflate.decompress(body, self._max_body + 1)
        except zlib.error:
            raise Refusal(400, "the body is not gzip") from None
        if len(plain) > self._max_body:
            raise Refusal(413, f"the body is over {self._max_body >> 10} KiB")
        if not inflate.eof:
            raise Refusal(400, "the gzip body is cut short")
        if inflate.unused_data:
            raise Refusal(400, "the body goes on after its gzip stream")
        return plain

    async def _page(self, scope: Scope, send: Send) -> None:
        try:
            code, body, headers = await self._found(scope)
        except Refusal as refusal:
            code, body, headers = _refused(refusal)
            if code == 405:
                headers = [*headers, (b"allow", b"GET, HEAD")]
        await self._reply(send, code, body, headers)

    async def _found(self, scope: Scope) -> Reply:
        path = scope["path"]
        if path not in self._open and self.door is not None:
            await self.door.caller(scope["headers"], scope["client"])
        page = self._pages.get(path)
        if page is None:
            raise Refusal(404, "no such path")
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(405, "GET was expected")
        if path == "/v2" and scope["query_string"] == b"dependencies=true":
            told = self.endpoint.settings.auth.dependencies
            if told == "off" or (told == "known" and self.door is None):
                raise Refusal(403, "dependency versions are not told here")
            return (
                200,
                orjson.dumps({**server_metadata(), "dependencies": await asyncio.to_thread(dependencies)}),
                JSON,
            )
        return page()

    async def _reply(self, send: Send, code: int, body: bytes, headers: Headers) -> None:
        await send({"type": "http.response.start", "status": code, "headers": self.whole_head(headers, body)})
        await send({"type": "http.response.body", "body": body})

    def whole_head(self, headers: Headers, body: bytes) -> Headers:
        """`headers` with those that every answer has."""
        sent = [*headers, (b"content-length", b"%d" % len(body))]
        return [*sent, (b"connection", b"close")] if self.draining else sent

    def _readiness(self) -> Reply:
        return (200, b'{"ready":true}', JSON) if self.up else (503, b'{"ready":false}', JSON)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    self.failure = error
                    log.exception("the service does not start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                self.ready = True
                await send({"type": "lifespan.startup.complete"})
            else:
                self.ready = False
                self.gauges.stop()
                if self._grpc:
                    await self._grpc.stop(_GRACE_S)
                await self.endpoint.stop()
                if self._traces:
                    await asyncio.to_thread(self._traces.stop)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self) -> None:
        if self._traces:
            self._traces.start()
        if self.door:
            await self.door.start()
        await self.endpoint.start()
        if self.before_ready is not None:
            await self.before_ready()
        if self.endpoint.settings.grpc_port is not None:
            from carrental_mlops.serving.grpc_server import GrpcServer

            self._grpc = GrpcServer(self)
            await self._grpc.start()
        self.gauges.start()


def _length(given: dict[bytes, bytes], body: bytes) -> int | None:
    said = given.get(_LENGTH)
    if said is None:
        return None
    if not said.isdigit() or len(said) > 12 or int(said) > len(body):
        raise Refusal(400, "Inference-Header-Content-Length is not within the body")
    return int(said)


_ALSO: dict[int, Headers] = {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"1")]}


def _refused(refusal: Refusal) -> Reply:
    told = {"error": refusal.message}
    body = orjson.dumps(told | {"field": refusal.field} if refusal.field else told)
    return refusal.status, body, [*JSON, *_ALSO.get(refusal.status, ())]


def server_metadata() -> dict[str, Any]:
    """The server's metadata as the protocol has it."""
    from carrental_mlops import __version__

    return {"name": "carrental-mlops", "version": __version__, "extensions": ["binary_tensor_data"]}
