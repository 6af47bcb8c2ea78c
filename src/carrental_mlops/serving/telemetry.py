"""What the service says of itself: Prometheus metrics and OpenTelemetry traces."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.utils import floatToGoString

from carrental_mlops.core.arrays import Floats

SHARED = "CRM_METRICS_FOLDER"
"""Environment variable: folder in which workers of one service keep their counters, so that each tells all. Its own,
because `import feast` sets that of the library, PROMETHEUS_MULTIPROC_DIR."""

_BUCKETS = (0.0005, 0.00075, 0.001, 0.0015, 0.0025, 0.0035, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075,
            0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5)  # fmt: skip
"""Seconds; each at most half again the one before up to 1 s, so that a canary with half again the p99 is seen."""
SCORE_BINS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Upper ends of the bins of `crm_scores_total`; narrow at the low end, where the scores of rare events lie."""


class Metrics:
    """Counters of one worker, with the labels of its model bound once.

    Args:
        model: name of the service.
        version: of the model.
        digest: of the model.
        p99_s: what the SLO promises (seconds); a border of the histogram, so that the slower share is exact.
        stale_s: age from which stored features are stale (seconds); a border too.
        registered_at: when the model was registered (seconds since 1970-01-01 UTC); None where it is not known.
    """

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        model: str,
        version: str,
        digest: str,
        p99_s: float | None = None,
        stale_s: float | None = None,
        registered_at: float | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._labels = {"model": model, "version": version}
        self._name_model(digest, registered_at)
        self._requests = self._counter("crm_requests", "Requests by HTTP status", "code")
        self._codes: dict[int, Counter] = {}
        self._seconds = self._histogram(
            "crm_request_seconds", "Seconds from headers to answer", _with(_BUCKETS, p99_s)
        ).labels(**self._labels)
        self.rows = self._counter("crm_rows", "Rows answered").labels(**self._labels)
        self.written = self._counter("crm_audit_written", "Audit events kept").labels(**self._labels)
        self._dropped = self._counter("crm_audit_dropped", "Audit events lost", "cause")
        self._failures = self._counter("crm_failures", "Answers that the service owed and did not give", "cause")
        self._stages = self._counter("crm_stage_seconds", "Seconds that requests waited for a stage", "stage")
        self._scores = self._counter("crm_scores", "Rows by score", "decision", "bin")
        self._scored: dict[tuple[str, int], int] = {}
        self._begin_at_zero()
        late = self._counter("crm_features_late", "Reads of stored features over budget or failed")
        self.late = late.labels(**self._labels)
        self._age = self._histogram("crm_feature_age_seconds", "Age of stored features", _with(_AGES, stale_s), "view")
        self._unknown = self._counter("crm_features_unknown", "Entities without stored features", "view")
        self.queue_fill = self._gauge("crm_queue_fill_ratio", "Fullest that the queue was of late", "livemax")
        self.audit_waiting = self._gauge("crm_audit_waiting_seconds", "Age of the oldest event not sent", "livemax")
        self.audit_free = self._gauge("crm_audit_free_ratio", "Free share of the audit's disk", "livemin")
        self.audit_free.set(1)

    def gauge(self, name: str, text: str, mode: Literal["max", "livemax", "livemin"], *labels: str) -> Gauge:
        """A gauge of this worker with the labels `model`, `version` and `labels`; `mode` joins the workers' values."""
        known: Any = mode if mode in Gauge._MULTIPROC_MODES else mode.removeprefix("live")  # Seldon's wrapper: 0.8
        return Gauge(name, text, ("model", "version", *labels), registry=self.registry, multiprocess_mode=known)

    def _gauge(self, name: str, text: str, mode: Literal["max", "livemax", "livemin"]) -> Gauge:
        return self.gauge(name, text, mode).labels(**self._labels)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("model", "version", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: list[float], *labels: str) -> Histogram:
        return Histogram(name, text, ("model", "version", *labels), buckets=buckets, registry=self.registry)

    def _name_model(self, digest: str, registered_at: float | None) -> None:
        info = self.gauge("crm_model_info", "Which model answers", "max", "digest")
        info.labels(**self._labels, digest=digest).set(1)
        if registered_at is not None:
            since = self._gauge("crm_model_registered_timestamp_seconds", "When the model was registered", "max")
            since.set(registered_at)

    def _begin_at_zero(self) -> None:
        """A rate does not see a counter's birth."""
        for cause in ("queue_full", "deadline", "audit_disk", "features"):
            self._failures.labels(**self._labels, cause=cause)
        for cause in ("queue_full", "disk", "slow_disk", "rendering"):
            self._dropped.labels(**self._labels, cause=cause)
        for code in (200, 429, 500, 503, 504):
            self._codes[code] = self._requests.labels(**self._labels, code=str(code))

    def answered(self, code: int, seconds: float) -> None:
        """Count one request."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._requests.labels(**self._labels, code=str(code))
        counter.inc()
        self._seconds.observe(seconds)

    def failed(self, cause: str) -> None:
        """Count an answer that was owed and not given, by its cause (a word of `Refusal`, or an exception's name)."""
        self._failures.labels(**self._labels, cause=cause).inc()

    def dropped(self, events: int, cause: str) -> None:
        """Count audit events lost."""
        self._dropped.labels(**self._labels, cause=cause).inc(events)

    def stage(self, name: str) -> Counter:
        """Seconds that requests waited for the stage `name`."""
        return self._stages.labels(**self._labels, stage=name)

    def scored(self, scores: Floats, decisions: NDArray[np.str_]) -> None:
        """Remember (n,) scores by decision and bin, until `count_scores`."""
        if len(scores) == 1:
            key = decisions.item(), bisect_left(SCORE_BINS, scores.item())
            self._scored[key] = self._scored.get(key, 0) + 1
            return
        bins = np.searchsorted(SCORE_BINS, scores)
        for decision in np.unique(decisions).tolist():
            counts = np.bincount(bins[decisions == decision]).tolist()
            for place, count in enumerate(counts):
                self._scored[decision, place] = self._scored.get((decision, place), 0) + count

    def count_scores(self) -> None:
        """Count what `scored` remembers: a counter for each request would cost more than its share of it."""
        held, self._scored = self._scored, {}
        self.rows.inc(sum(held.values()))
        for (decision, place), count in held.items():
            if count:
                end = bin_label(SCORE_BINS[min(place, len(SCORE_BINS) - 1)])
                self._scores.labels(**self._labels, decision=decision, bin=end).inc(count)

    def age_of(self, view: str) -> Histogram:
        """Ages of the stored features of one view."""
        return self._age.labels(**self._labels, view=view)

    def unknown_of(self, view: str) -> Counter:
        """Entities of one view without stored features."""
        return self._unknown.labels(**self._labels, view=view)

    def text(self) -> bytes:
        """Prometheus' text format, of all workers."""
        self.count_scores()
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every, os.environ[SHARED])  # type: ignore[no-untyped-call]
        return generate_latest(every)


def bin_label(end: float) -> str:
    """A border as Prometheus writes it: `0.5`, `1.0`."""
    return str(floatToGoString(end))  # type: ignore[no-untyped-call]


def _with(borders: Iterable[float], another: float | None) -> list[float]:
    return sorted({*borders, *([another] if another else [])})


_AGES = (3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 4 * 86_400, 7 * 86_400)
