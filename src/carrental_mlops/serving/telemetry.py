"""What the service says of itself: Prometheus metrics and OpenTelemetry traces."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "CRM_METRICS_FOLDER"
"""Environment variable: folder in which workers of one service keep their counters, so that each tells all. Its own,
because `import feast` sets that of the library, PROMETHEUS_MULTIPROC_DIR."""

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """Counters of one worker, with the labels of its model bound once.

    Args:
        model: name of the service.
        version: of the model.
        digest: of the model.
    """

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, model: str, version: str, digest: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        names, labels = ("model", "version"), {"model": model, "version": version}
        self._labels = labels

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, names, registry=registry).labels(**labels)

        info = Gauge(
            "crm_model_info", "Which model answers", (*names, "digest"), registry=registry, multiprocess_mode="max"
        )
        info.labels(**labels, digest=digest).set(1)
        self._requests = Counter("crm_requests", "Requests by HTTP status", (*names, "code"), registry=registry)
        self._codes: dict[int, Counter] = {}
        self._seconds = Histogram(
            "crm_request_seconds", "Seconds from headers to answer", names, buckets=_BUCKETS, registry=registry
        ).labels(**labels)
        self.rows = counter("crm_rows", "Rows answered")
        self.written = counter("crm_audit_written", "Audit events kept")
        self.dropped = counter("crm_audit_dropped", "Audit events lost")
        self.late = counter("crm_features_late", "Reads of stored features over budget or failed")
        self._age = Histogram(
            "crm_feature_age_seconds", "Age of stored features", (*names, "view"), buckets=_AGES, registry=registry
        )
        self._unknown = Counter(
            "crm_features_unknown", "Entities without stored features", (*names, "view"), registry=registry
        )

    def answered(self, code: int, seconds: float) -> None:
        """Count one request."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._requests.labels(**self._labels, code=str(code))
        counter.inc()
        self._seconds.observe(seconds)

    def age_of(self, view: str) -> Histogram:
        """Ages of the stored features of one view."""
        return self._age.labels(**self._labels, view=view)

    def unknown_of(self, view: str) -> Counter:
        """Entities of one view without stored features."""
        return self._unknown.labels(**self._labels, view=view)

    def text(self) -> bytes:
        """Prometheus' text format, of all workers."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every, os.environ[SHARED])  # type: ignore[no-untyped-call]
        return generate_latest(every)


_AGES = (3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 4 * 86_400, 7 * 86_400)
