"""Curves of a scored test set, thinned for a report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carrental_mlops.core.arrays import Floats


@dataclass(frozen=True)
class Curve:
    """Points of a line, in order."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def curves(label: Floats, score: Floats, points: int = 100, bins: int = 10) -> dict[str, Curve]:
    """`pr`, `roc` and `calibration`, each of at most `points` points; empty where only one label occurs.

    Args:
        label: (n,) 0 or 1. score: (n,) probability.
        bins: of the calibration curve, with equally many rows each.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits = np.cumsum(label[order])[ends]
    flagged = ends + 1.0
    positives, negatives = label.sum(), len(label) - label.sum()
    if not positives or not negatives:
        return {}
    recall, false_rate = hits / positives, (flagged - hits) / negatives
    return {
        "pr": _thinned(np.append(0.0, recall), np.append(hits[0] / flagged[0], hits / flagged), points),
        "roc": _thinned(np.append(0.0, false_rate), np.append(0.0, recall), points),
        "calibration": _reliability(label[order][::-1], score[order][::-1], bins),
    }


def _reliability(label: Floats, score: Floats, bins: int) -> Curve:
    parts = [part for part in np.array_split(np.arange(len(score)), bins) if len(part)]
    return Curve(tuple(float(score[part].mean()) for part in parts), tuple(float(label[part].mean()) for part in parts))


def _thinned(x: Floats, y: Floats, points: int) -> Curve:
    """At most `points` of the line, evenly spread along x."""
    if len(x) > points:
        keep = np.unique(np.searchsorted(x, np.linspace(x[0], x[-1], points)).clip(0, len(x) - 1))
        x, y = x[keep], y[keep]
    return Curve(tuple(map(float, x)), tuple(map(float, y)))
