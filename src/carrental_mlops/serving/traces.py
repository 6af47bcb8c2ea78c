"""OpenTelemetry traces, one span a request, over OTLP/HTTP."""

from __future__ import annotations

import logging
import random
import threading
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from carrental_mlops.serving.traceparent import Parent, Traced, read_traceparent

_STOP_S = 3
"""Longest wait for the collector when the service stops."""


class Traces:
    """ParentBased(TraceIdRatioBased): the caller's decision, else `ratio` of the requests.

    What is not sampled is known before any span is made, so it costs a random number. Spans wait in a bounded queue
    and leave in a thread; with the collector down they are dropped and answers go on. No input is ever an attribute.

    Args:
        endpoint: OTLP over HTTP; headers that the collector asks for come from OTEL_EXPORTER_OTLP_HEADERS.
        ratio: share of the requests that nobody decided on (fraction).
        service: name of the service.
        version: of the model.
    """

    def __init__(self, endpoint: str, ratio: float, service: str, version: str) -> None:
        self._endpoint, self._ratio = endpoint, ratio
        self._name, self._attributes = f"infer {service}", {"crm.model": service, "crm.model_version": version}
        self._resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version})
        self._provider: TracerProvider | None = None

    def start(self) -> None:
        """Open the queue and its thread, in the process that answers."""
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(_seldom)
        sampler = ParentBased(TraceIdRatioBased(self._ratio))
        limits = SpanLimits(max_span_attributes=16, max_span_attribute_length=256)
        self._provider = TracerProvider(
            sampler=sampler,
            resource=self._resource,
            shutdown_on_exit=False,
            id_generator=_Sampled(self._ratio),
            span_limits=limits,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=self._endpoint, timeout=_STOP_S),
                max_queue_size=2048,
                schedule_delay_millis=1000,
                max_export_batch_size=512,
            )
        )
        self._tracer = self._provider.get_tracer("carrental_mlops.serving")

    def stop(self) -> None:
        """Send what waits, for a few seconds at most; blocks."""
        if self._provider is not None:
            closing = threading.Thread(target=self._provider.shutdown, daemon=True)
            closing.start()
            closing.join(_STOP_S)
            self._provider = None

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
        span = traced.span
        if span is None:
            return
        span.set_attributes({"http.response.status_code": code, "crm.rows": traced.rows})
        if traced.flags:
            span.set_attribute("crm.flags", traced.flags)
        if code >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def _opened(self, parent: Parent | None) -> Traced:
        context = None
        if parent is not None:
            sent = SpanContext(parent.trace_id, parent.span_id, True, TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(sent))
        span = self._tracer.start_span(self._name, context, SpanKind.SERVER, self._attributes)
        ours = span.get_span_context()
        return Traced(f"00-{ours.trace_id:032x}-{ours.span_id:016x}-{ours.trace_flags:02x}", span)


class _Seldom(logging.Filter):
    """Errors of the exporter, once a minute; it tells each batch that the collector did not take."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is told."""
        now = time.monotonic()
        if record.levelno < logging.ERROR or now < self._next:
            return False
        self._next = now + 60
        return True


_seldom = _Seldom()


class _Sampled(RandomIdGenerator):
    """Trace ids that TraceIdRatioBased keeps: a new one is asked for only when the request is sampled."""

    def __init__(self, ratio: float) -> None:
        self._bound = max(1, TraceIdRatioBased.get_bound_for_rate(ratio))

    def generate_trace_id(self) -> int:
        """128 bits, the lower 64 within the sampler's bound, none of them all zero."""
        return (random.getrandbits(63) + 1) << 64 | random.randrange(self._bound)  # noqa: S311, no secret
