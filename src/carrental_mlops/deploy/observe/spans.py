"""The spans of one trace, from Jaeger or Tempo: the only module that asks them.

Source: https://www.jaegertracing.io/docs/1.76/architecture/apis/ (`/api/traces/ID` as its UI asks);
https://grafana.com/docs/tempo/latest/api_docs/#query (`/api/traces/ID`, OTLP as JSON).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError, shown_url

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Span:
    """One part of a request."""

    service: str
    name: str
    start: float
    """Seconds since 1970-01-01 UTC."""
    ms: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    """As the server that was asked writes it."""
    parent: str = ""
    """Id of the span above; empty where there is none."""


def spans_of(url: str, trace: str) -> list[Span]:
    """The spans of `trace`, oldest first; none where the trace was not kept.

    Args:
        url: of Jaeger's query service or of Tempo.
        trace: 32 hexadecimal digits.

    Raises:
        PlatformError: it does not answer (retryable).
        ConfigError: what answers is neither.
    """
    asked = f"{url.rstrip('/')}/api/traces/{trace}"
    if not asked.startswith(("http://", "https://")):
        raise ConfigError(f"{shown_url(url)} is no URL", "serving.traces.query: http://jaeger-query:16686")
    request = urllib.request.Request(asked, headers={"accept": "application/json"})  # noqa: S310  (checked above)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
            told = json.load(reply)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise _away(url, f"HTTP {error.code}") from error
    except (OSError, ValueError) as error:
        raise _away(url, str(getattr(error, "reason", error))) from error
    try:
        found = list(_jaeger(told) if "data" in told else _otlp(told))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"what {shown_url(url)} answers is no trace of Jaeger or Tempo: {error!r}"
        raise ConfigError(what, "serving.traces.query names another service") from error
    return sorted(found, key=lambda span: span.start)


def nested(spans: Collection[Span]) -> list[tuple[int, Span]]:
    """Each span after the one that it is below, and how deep it lies; one whose parent was not kept lies at 0."""
    below: dict[str, list[Span]] = {}
    known = {span.id for span in spans}
    for span in spans:
        below.setdefault(span.parent if span.parent in known and span.parent != span.id else "", []).append(span)
    return list(_below(below, "", 0))


def _below(spans: Mapping[str, list[Span]], parent: str, depth: int) -> Iterator[tuple[int, Span]]:
    for span in spans.get(parent, ()):
        yield depth, span
        if span.id:
            yield from _below(spans, span.id, depth + 1)


def _jaeger(told: Mapping[str, Any]) -> Iterator[Span]:
    for trace in told["data"]:
        for span in trace["spans"]:
            service = trace["processes"][span["processID"]]["serviceName"]
            attributes = {tag["key"]: tag["value"] for tag in span.get("tags", [])}
            above = [one["spanID"] for one in span.get("references", []) if one["refType"] == "CHILD_OF"]
            start, ms = span["startTime"] / 1e6, span["duration"] / 1e3
            yield Span(service, span["operationName"], start, ms, attributes, span.get("spanID", ""), *above[:1])


def _otlp(told: Mapping[str, Any]) -> Iterator[Span]:
    whole = told.get("trace", told)
    for batch in whole["resourceSpans"] if "resourceSpans" in whole else whole["batches"]:
        service = str(_attributes(batch.get("resource", {})).get("service.name", ""))
        for scope in batch.get("scopeSpans", batch.get("instrumentationLibrarySpans", [])):
            for span in scope["spans"]:
                start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
                own, above = span.get("spanId", ""), span.get("parentSpanId", "")
                yield Span(service, span["name"], start / 1e9, (end - start) / 1e6, _attributes(span), own, above)


def _attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values()), None) for one in of.get("attributes", [])}


def _away(url: str, why: str) -> PlatformError:
    return PlatformError(f"{shown_url(url)} does not answer: {why}", "check serving.traces.query", retryable=True)
