"""W3C Trace Context: the header that carries a trace from caller to service.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?")


class Parent(NamedTuple):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool
    """The caller's decision that this trace is kept."""


def read_traceparent(header: bytes) -> Parent | None:
    """The caller's span; None for a header that is not well formed, which counts as not sent."""
    found = _FORM.fullmatch(header) if len(header) <= 256 else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, span_id = int(trace, 16), int(span, 16)
    if version == b"ff" or (version == b"00" and more) or not trace_id or not span_id:
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & 1))


class Recorded(NamedTuple):
    """Our span of a request."""

    trace_id: int
    span_id: int
    parent_id: int
    """0 where the trace begins here."""
    begun: int
    """Nanoseconds since 1970-01-01 UTC."""


@dataclass(slots=True)
class Traced:
    """A request that has a trace."""

    traceparent: str
    """For the answer and the audit: of our span, or as the caller sent it where nothing is recorded."""
    span: Recorded | None = None
    """Our span; None where nothing is recorded."""
    rows: int = 0
    flags: tuple[str, ...] = ()


def passed_on(header: bytes | None) -> Traced | None:
    """The caller's trace where the service keeps none of its own."""
    return Traced(header.decode("ascii")) if header is not None and read_traceparent(header) else None
