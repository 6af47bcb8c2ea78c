"""Traces as OpenTelemetry's OTLP over HTTP has them: a span a request, and one below it a read of stored features.

Source: https://opentelemetry.io/docs/specs/otlp/. Not with OpenTelemetry's SDK: its exporter needs 100 µs a span for
itself, in bursts that the answers wait for; this one needs a tenth.
"""

from __future__ import annotations

import logging
import os
import random
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from carrental_mlops.serving.traceparent import Parent, Part, Recorded, Traced, read_traceparent

log = logging.getLogger("carrental_mlops.serving.traces")

_QUEUE, _BATCH, _PAUSE_S = 2048, 512, 0.5
_SLICE, _YIELD_S = 16, 0.001
_TIMEOUT_S = 3
"""Longest wait for the collector."""
_COMPLAIN_S = 60.0
_LATER = (429, 502, 503, 504)
"""Answers of a collector after which the specification sends again."""


class Ended(NamedTuple):
    """A span that is to be sent."""

    span: Recorded
    at: int
    """Nanoseconds since 1970-01-01 UTC."""
    code: int
    """HTTP status."""
    rows: int
    flags: tuple[str, ...]
    parts: Sequence[Part]


class Traces:
    """The caller's decision, else `ratio` of the requests.

    What is not sampled costs a random number. Spans wait in a bounded queue and leave in a thread; with the collector
    down they are dropped and answers go on. No input is ever an attribute.

    Args:
        endpoint: OTLP over HTTP. The headers that the collector asks for come from OTEL_EXPORTER_OTLP_HEADERS, the
            certificates that it is trusted by from OTEL_EXPORTER_OTLP_CERTIFICATE.
        ratio: share of the requests that nobody decided on (fraction).
        service: name of the service, or of the node of its graph.
        version: of the model; empty for a node that has none.
        more: further attributes of every span.
    """

    def __init__(
        self, endpoint: str, ratio: float, service: str, version: str, more: Mapping[str, str] | None = None
    ) -> None:
        self._endpoint, self._ratio = endpoint, ratio
        self._name = f"infer {service}"
        known = {"crm.model": service, "crm.model_version": version, **(more or {})}
        self._attributes = [_attribute(name, value) for name, value in known.items() if value]
        resource = {"service.name": service, "service.version": version}
        self._resource = Resource(attributes=[_attribute(name, value) for name, value in resource.items() if value])
        self._bound = max(1, round(ratio * 2**64))
        self.waiting: deque[Ended] = deque(maxlen=_QUEUE)
        """To be sent; the oldest go where the collector does not keep up."""
        self._stop = threading.Event()
        self._complained = float("-inf")
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to send, in the process that answers."""
        headers = urllib.parse.parse_qsl(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""), separator=",")
        self._headers = {**dict(headers), "Content-Type": "application/x-protobuf"}
        trusted = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE")
        self._tls = ssl.create_default_context(cafile=trusted) if self._endpoint.startswith("https:") else None
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, for a few seconds at most; blocks."""
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    def begin(self, traceparent: bytes | None) -> Traced | None:
        """The trace of a request; None where it has none.

        Args:
            traceparent: as the caller sent it (W3C); one that is malformed counts as none.
        """
        parent = read_traceparent(traceparent) if traceparent is not None else None
        if parent is None:
            return self._opened(None) if random.random() < self._ratio else None  # noqa: S311, no secret
        return self._opened(parent) if parent.sampled else Traced((traceparent or b"").decode("latin-1"))

    def end(self, traced: Traced, code: int) -> None:
        """Close the span of a request that was answered with HTTP status `code`."""
        if traced.span is not None:
            self.waiting.append(Ended(traced.span, time.time_ns(), code, traced.rows, traced.flags, traced.parts))

    def _opened(self, parent: Parent | None) -> Traced:
        trace_id = self._trace_id() if parent is None else parent.trace_id
        span = Recorded(trace_id, random.getrandbits(64) or 1, parent.span_id if parent else 0, time.time_ns())
        return Traced(f"00-{trace_id:032x}-{span.span_id:016x}-01", span)

    def _trace_id(self) -> int:
        """128 bits that TraceIdRatioBased keeps, so that whoever samples by the same ratio decides alike."""
        return (random.getrandbits(63) + 1) << 64 | random.randrange(self._bound)  # noqa: S311, no secret

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        until = time.monotonic() + _TIMEOUT_S
        left = len(self.waiting)  # those that come meanwhile go with the next, or this would never pause
        while left > 0 and time.monotonic() < until:
            spans = [self.waiting.popleft() for _ in range(min(left, _BATCH))]
            left -= len(spans)
            try:
                self._send(self._encoded(spans))
            except Exception as error:  # a thread that dies here would lose every later span without a word
                self._complain(len(spans), error)

    def _send(self, body: bytes) -> None:
        request = urllib.request.Request(self._endpoint, body, self._headers)  # noqa: S310, the team's own endpoint
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._tls).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code not in _LATER or self._stop.wait(_PAUSE_S):
                raise
            urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._tls).close()  # noqa: S310

    def _encoded(self, spans: Sequence[Ended]) -> bytes:
        scope = ScopeSpans(scope=InstrumentationScope(name="carrental_mlops.serving"))
        for first in range(0, len(spans), _SLICE):
            scope.spans.extend(span for ended in spans[first : first + _SLICE] for span in self._spans(ended))
            time.sleep(_YIELD_S)  # an answer waits for one slice at most
        sent = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[scope])])
        body: bytes = sent.SerializeToString()
        return body

    def _spans(self, ended: Ended) -> Iterator[Span]:
        recorded = ended.span
        yield Span(
            trace_id=recorded.trace_id.to_bytes(16, "big"),
            span_id=recorded.span_id.to_bytes(8, "big"),
            parent_span_id=recorded.parent_id.to_bytes(8, "big") if recorded.parent_id else b"",
            name=self._name,
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=recorded.begun,
            end_time_unix_nano=ended.at,
            attributes=[
                *self._attributes,
                _attribute("http.response.status_code", ended.code),
                _attribute("crm.rows", ended.rows),
                *([_attribute("crm.flags", ended.flags)] if ended.flags else ()),
            ],
            status=_status(ended.code >= HTTPStatus.INTERNAL_SERVER_ERROR),
        )
        for part in ended.parts:
            yield Span(
                trace_id=recorded.trace_id.to_bytes(16, "big"),
                span_id=(random.getrandbits(64) or 1).to_bytes(8, "big"),
                parent_span_id=recorded.span_id.to_bytes(8, "big"),
                name=part.name,
                kind=Span.SPAN_KIND_CLIENT,
                start_time_unix_nano=part.begun,
                end_time_unix_nano=part.at,
                attributes=[*self._attributes, *(_attribute(name, value) for name, value in part.attributes)],
                status=_status(part.failed),
            )

    def _complain(self, spans: int, error: Exception) -> None:
        if time.monotonic() - self._complained > _COMPLAIN_S:
            self._complained = time.monotonic()
            log.error("%d spans were not taken by %s: %s", spans, self._endpoint, error)


def _status(failed: bool) -> Status | None:
    return Status(code=Status.STATUS_CODE_ERROR) if failed else None


def _attribute(name: str, value: str | int | Sequence[str]) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=name, value=AnyValue(string_value=value))
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=value))
    texts = ArrayValue(values=[AnyValue(string_value=text) for text in value])
    return KeyValue(key=name, value=AnyValue(array_value=texts))
