"""What champion and canary have counted since the last look, from their counters in Prometheus.

Raw counters and not `rate()`, which extrapolates: the statistics need whole events. A counter that went back has begun
anew; a series that appears after the first look counts from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from carrental_mlops.core.arrays import Floats
from carrental_mlops.deploy.manifests import labels
from carrental_mlops.deploy.observe.prometheus import Prometheus, Sample, matching
from carrental_mlops.deploy.observe.queries import FAILED_CODES
from carrental_mlops.serving.telemetry import SCORE_BINS

TRACK = labels.PROMETHEUS_TRACK
"""Label that Prometheus takes from the pod: `champion` or `canary`."""


@dataclass(frozen=True)
class Counts:
    """Events of one track since the last look."""

    errors: Floats
    """(2,) answers that were good, and that failed (`queries.FAILED_CODES`, as alerts and diagnosis count)."""
    edges: tuple[float, ...]
    """Upper ends of the buckets of `seconds` (seconds), without the last, open one."""
    seconds: Floats
    """(len(edges) + 1,) answers by server time."""
    scores: Floats
    """(len(SCORE_BINS),) rows by score."""
    seen: bool
    """Whether a pod of the track was scraped."""


@dataclass
class Counters:
    """The counters of one service.

    Args:
        labels: of its series, such as `model` and `namespace`.
        last: series to its value at the last look; JSON, so that another process can go on.
    """

    labels: Mapping[str, str]
    last: dict[str, float] = field(default_factory=dict)

    def since_last(self, prometheus: Prometheus) -> tuple[Counts, Counts]:
        """Counts of champion and canary since the call before; the first call finds none.

        Raises:
            PlatformError: Prometheus does not answer; the next call counts from the one before.
        """
        first = not self.last
        found = {
            name: prometheus.vector(name + matching(self.labels))
            for name in ("crm_model_info", "crm_requests_total", "crm_request_seconds_bucket", "crm_scores_total")
        }
        gained = {name: list(self._gained(name, samples, first)) for name, samples in found.items()}
        self.last.setdefault("begun", 1.0)
        edges = _edges(gained["crm_request_seconds_bucket"])
        champion, canary = (_counts(track, gained, edges) for track in (labels.CHAMPION, labels.CANARY))
        return champion, canary

    def _gained(self, name: str, samples: list[Sample], first: bool) -> Iterator[Sample]:
        for sample in samples:
            key = name + matching(dict(sorted(sample.labels.items())))
            before = self.last.get(key, sample.value if first else 0.0)
            self.last[key] = sample.value
            yield Sample(sample.labels, sample.value - before if sample.value >= before else sample.value)


def _edges(buckets: list[Sample]) -> tuple[float, ...]:
    """Bucket ends that every track has; a changed SLO adds one to the new version alone."""
    by_track: dict[str, set[float]] = {}
    for sample in buckets:
        by_track.setdefault(sample.labels.get(TRACK, ""), set()).add(float(sample.labels["le"]))
    shared = set.intersection(*by_track.values()) if by_track else set()
    return tuple(sorted(shared - {float("inf")}))


def _counts(track: str, gained: Mapping[str, list[Sample]], edges: tuple[float, ...]) -> Counts:
    mine = {name: [s for s in samples if s.labels.get(TRACK) == track] for name, samples in gained.items()}
    errors = np.zeros(2)
    for sample in mine["crm_requests_total"]:
        errors[int(bool(re.fullmatch(FAILED_CODES, sample.labels["code"])))] += sample.value
    upto = dict.fromkeys((*edges, float("inf")), 0.0)
    for sample in mine["crm_request_seconds_bucket"]:
        end = float(sample.labels["le"])
        if end in upto:
            upto[end] += sample.value
    scores = dict.fromkeys(SCORE_BINS, 0.0)
    for sample in mine["crm_scores_total"]:
        scores[float(sample.labels["bin"])] = scores.get(float(sample.labels["bin"]), 0.0) + sample.value
    seconds = np.diff([0.0, *upto.values()])
    return Counts(errors, edges, seconds, np.array([scores[end] for end in SCORE_BINS]), bool(mine["crm_model_info"]))
