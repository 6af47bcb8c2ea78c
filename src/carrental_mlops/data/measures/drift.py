"""How far a feature's spread has moved: the population stability index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_FLOOR = 1e-4
"""Least share of a bin, so that an empty bin gives a large index and not infinity."""


@dataclass(frozen=True)
class Bins:
    """A feature's spread in the reference data."""

    edges: tuple[float, ...]
    """Inner bin borders, ascending."""
    shares: tuple[float, ...]
    """Share of rows in each of the len(edges) + 1 bins, then the share of missing values (fractions)."""


def profile(rows: pd.DataFrame, columns: Iterable[str], bins: int = 10) -> dict[str, Bins]:
    """Column name to its spread over quantile bins of `rows`; constant columns have one bin."""
    return {name: spread(rows[name].to_numpy(dtype=np.float64), bins) for name in columns}


def stability_index(reference: Bins, values: NDArray[np.float64]) -> float:
    """PSI of (n,) `values` against `reference`: under 0.1 steady, over 0.25 moved; NaN without values.

    Source: Siddiqi, Credit Risk Scorecards (2006), ch. 9: sum of (found - expected) * ln(found / expected).
    """
    if not len(values):
        return float("nan")
    expected = np.maximum(reference.shares, _FLOOR)
    found = np.maximum(_shares(values, np.asarray(reference.edges)), _FLOOR)
    return float(((found - expected) * np.log(found / expected)).sum())


def bins_to_json(spread: Mapping[str, Bins]) -> str:
    """`spread` as JSON, the same text for the same spread."""
    return json.dumps({name: asdict(bins) for name, bins in spread.items()}, sort_keys=True)


def bins_from_json(text: str) -> dict[str, Bins]:
    """What `bins_to_json` wrote.

    Raises:
        ValueError, KeyError: `text` is something else.
    """
    return {name: Bins(tuple(b["edges"]), tuple(b["shares"])) for name, b in json.loads(text).items()}


def spread(values: NDArray[np.float64], bins: int = 10) -> Bins:
    """The spread of (n,) `values` over their quantile bins; NaN is missing."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)
    return Bins(tuple(map(float, edges)), tuple(map(float, _shares(values, edges))))


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    counts = np.bincount(np.searchsorted(edges, values[~missing], side="left"), minlength=len(edges) + 1)
    return np.append(counts, missing.sum()) / max(len(values), 1)
