"""What the step `evaluate` hands on: figures of one model, beside the champion's on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carrental_mlops.data.measures.curves import Curve


@dataclass(frozen=True)
class Interval:
    """Bootstrap interval of one metric, NaN where the metric is undefined."""

    low: float
    high: float


@dataclass(frozen=True)
class Segment:
    """The model on the rows that share one value."""

    name: str
    value: str
    rows: int
    positives: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """The champion on the same rows; `version` is empty where there is none."""

    version: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    differences: Mapping[str, Interval] = field(default_factory=dict)
    """Candidate minus champion, paired: both on the same resamples."""
    problem: str = ""
    """Why the champion could not be measured."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """As `Evaluation.curves`, of the champion."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on the test rows."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    rows: int = 0
    positives: int = 0
    threshold: float = 0.5
    segments: tuple[Segment, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """`pr` (recall, precision), `roc` (false, true positive rate), `calibration` (predicted, observed)."""
    champion: Comparison = field(default_factory=Comparison)
