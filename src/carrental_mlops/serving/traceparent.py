"""W3C Trace Context: the header that carries a trace from caller to service.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
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


class Part(NamedTuple):
    """What the answer to a request waited for: a span below ours."""

    name: str
    begun: int
    """Nanoseconds since 1970-01-01 UTC, as `at`."""
    at: int
    attributes: tuple[tuple[str, str | Sequence[str]], ...]
    """No value of a request among them."""
    failed: bool = False


@dataclass(slots=True)
class Traced:
    """A request that has a trace."""

    traceparent: str
    """For the answer and the audit: of our span, or as the caller sent it where nothing is recorded."""
    span: Recorded | None = None
    """Our span; None where nothing is recorded."""
    rows: int = 0
    flags: tuple[str, ...] = ()
    parts: list[Part] = field(default_factory=list)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]


CURRENT: ContextVar[Traced | None] = ContextVar("traced", default=None)
"""The trace of the request that is being answered, for its log lines and for what it waits for."""


def passed_on(header: bytes | None) -> Traced | None:
    """The caller's trace where the service keeps none of its own."""
    return Traced(header.decode("ascii")) if header is not None and read_traceparent(header) else None
