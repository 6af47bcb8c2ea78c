"""What scores are worth, for one weighting of the rows or for many at once (the bootstrap)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carrental_mlops.core.arrays import Floats

_CHUNK_CELLS = 10_000_000


@dataclass(frozen=True)
class Scored:
    """One model's scores on one set of rows.

    All arrays are (n,): `label` 0 or 1, `score` in [0, 1]; `missed` and `alarm` in EUR or None without costs.
    """

    label: Floats
    score: Floats
    threshold: float
    missed: Floats | None = None
    alarm: Floats | None = None

    def only(self, rows: NDArray[np.bool_]) -> Scored:
        """The same model on the rows that the (n,) mask `rows` keeps."""
        missed, alarm = (None if c is None else c[rows] for c in (self.missed, self.alarm))
        return Scored(self.label[rows], self.score[rows], self.threshold, missed, alarm)

    def measure(self, weights: Floats | None = None) -> dict[str, Floats]:
        """Metric name to its (b,) values, one for each row of `weights`; NaN where a metric is undefined.

        Args:
            weights: (b, n) how often each row counts; None counts each row once, b = 1.
        """
        weights = np.ones((1, len(self.label))) if weights is None else weights
        with np.errstate(divide="ignore", invalid="ignore"):
            return {**_ranking(self.label, self.score, weights), **self._pointwise(weights)}

    def _pointwise(self, weights: Floats) -> dict[str, Floats]:
        flagged, positive = (self.score >= self.threshold).astype(float), self.label
        clipped = np.clip(self.score, 1e-15, 1 - 1e-15)
        columns = [
            np.ones_like(positive),
            (self.score - positive) ** 2,
            -np.where(positive == 1, np.log(clipped), np.log1p(-clipped)),
            flagged * positive,
            flagged,
            positive,
        ]
        if self.missed is not None and self.alarm is not None:
            columns.append(np.where(positive == 1, self.missed * (1 - flagged), self.alarm * flagged))
        total, square, loss, hits, alerts, positives, *cost = (weights @ np.column_stack(columns)).T
        out = {"brier": square / total, "log_loss": loss / total}
        out |= {"precision": hits / alerts, "recall": hits / positives}
        return out | ({"cost_eur_per_1000": 1000 * cost[0] / total} if cost else {})


def _ranking(label: Floats, score: Floats, weights: Floats) -> dict[str, Floats]:
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    positive = np.cumsum(weights[:, order] * label[order], axis=1)[:, ends]
    negative = np.cumsum(weights[:, order] * (1 - label[order]), axis=1)[:, ends]
    new_positive = np.diff(positive, axis=1, prepend=0.0)
    new_negative = np.diff(negative, axis=1, prepend=0.0)
    positives, negatives = positive[:, -1], negative[:, -1]
    area = (new_negative * (positive - new_positive / 2)).sum(axis=1) / (positives * negatives)
    precision = np.divide(positive, positive + negative, out=np.zeros_like(positive), where=positive + negative > 0)
    average = (new_positive * precision).sum(axis=1) / positives
    return {"roc_auc": area, "average_precision": average}


def point(scored: Scored) -> dict[str, float]:
    """Metric name to value on the rows as they are."""
    return {name: float(values[0]) for name, values in scored.measure().items()}


def bootstrap(scored: Mapping[str, Scored], resamples: int, seed: int) -> dict[str, dict[str, Floats]]:
    """Model name to metric name to (resamples,) values; every model sees the same resamples, so differences are paired.

    Args:
        scored: models on the same n rows in the same order.
        resamples: how many; each row counts Poisson(1) times, which for n over a few hundred equals drawing n rows
            with replacement.
        seed: makes the answer repeatable.
    """
    rows = len(next(iter(scored.values())).label)
    rng, step = np.random.default_rng(seed), max(1, _CHUNK_CELLS // max(rows, 1))
    parts: dict[str, list[dict[str, Floats]]] = {name: [] for name in scored}
    for start in range(0, resamples, step):
        weights = rng.poisson(1.0, (min(step, resamples - start), rows)).astype(np.float64)
        for name, one in scored.items():
            parts[name].append(one.measure(weights))
    return {
        name: {metric: np.concatenate([chunk[metric] for chunk in chunks]) for metric in chunks[0]} if chunks else {}
        for name, chunks in parts.items()
    }
