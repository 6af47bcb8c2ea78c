"""Prometheus' HTTP API: the only module that asks Prometheus.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError, shown_url

_TIMEOUT_S = 10.0
_UNUSABLE = (400, 422)
"""Statuses by which Prometheus says that the query, not the server, is wrong."""


@dataclass(frozen=True)
class Sample:
    """One series at one time."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server.

    Args:
        url: such as `http://prometheus-operated.monitoring:9090`.
        until: when the last answer must be there (`time.monotonic`); None: each query has its own 10 s.
    """

    url: str
    until: float | None = None

    def vector(self, query: str, at: float | None = None) -> list[Sample]:
        """The series that `query` (PromQL) gives.

        Args:
            query: of an instant vector.
            at: seconds since 1970-01-01 UTC; None for now.

        Raises:
            PlatformError: the server does not answer (retryable).
            ConfigError: it cannot read `query`.
        """
        found = self._get("query", {"query": query} | ({} if at is None else {"time": f"{at:.3f}"}))
        if found["resultType"] != "vector":
            raise ConfigError(f"`{query}` gives a {found['resultType']}, not a vector", "write an instant vector")
        return [Sample({k: v for k, v in s["metric"].items()}, float(s["value"][1])) for s in found["result"]]

    def value(self, query: str, at: float | None = None) -> float | None:
        """The one value that `query` gives; None where there is none.

        Raises:
            PlatformError, ConfigError: as for `vector`; also ConfigError where there are several.
        """
        found = self.vector(query, at)
        if len(found) > 1:
            raise ConfigError(f"`{query}` gives {len(found)} series, one was expected", "sum them")
        return found[0].value if found else None

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        shown = shown_url(self.url)
        request = f"{self.url.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        if not request.startswith(("http://", "https://")):
            raise ConfigError(f"{shown} is no URL of Prometheus", "watch.prometheus: http://…")
        ends = min(time.monotonic() + _TIMEOUT_S, self.until if self.until is not None else float("inf"))
        try:
            with urllib.request.urlopen(request, timeout=_left(ends)) as reply:  # noqa: S310  (checked above)
                return json.loads(b"".join(_parts(reply, ends)))["data"]
        except urllib.error.HTTPError as error:
            if error.code in _UNUSABLE:
                said = error.read().decode(errors="replace")[:500]
                raise ConfigError(f"Prometheus cannot read `{parameters['query']}`: {said}", "mend it") from error
            raise _away(shown, f"HTTP {error.code}") from error
        except (OSError, ValueError, KeyError) as error:
            raise _away(shown, str(getattr(error, "reason", error))) from error


def _left(ends: float) -> float:
    """Seconds; OSError where there are none."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _parts(reply: Any, ends: float) -> Iterator[bytes]:
    """The body of an answer, which a server may send byte by byte for ever."""
    while part := reply.read1(1 << 16):
        yield part
        _left(ends)


def _away(url: str, why: str) -> PlatformError:
    return PlatformError(
        f"Prometheus at {url} does not answer: {why}",
        "set watch.prometheus, or: kubectl -n monitoring port-forward svc/prometheus-operated 9090",
        retryable=True,
    )


def matching(labels: Mapping[str, str]) -> str:
    """`{a="b",…}`, quoted as PromQL wants it."""
    quoted = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"{{{','.join(quoted)}}}"
