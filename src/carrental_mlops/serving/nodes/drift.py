"""Drift of scores and of fields in the clear: PSI and Kolmogorov-Smirnov, from masked events, as metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from prometheus_client import Gauge
from pydantic import Field

from carrental_mlops.core.arrays import Floats
from carrental_mlops.data.measures.drift import Bins, spread, stability_index
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file
from carrental_mlops.serving.nodes.base import Place
from carrental_mlops.serving.nodes.events import Receiver, Window

_SAMPLE = 5_000
"""Reference values kept for the Kolmogorov-Smirnov statistic."""
_TERMS = 100


class DriftDetector(Receiver):
    """Compares the newest rows with the first ones that it saw, or with those of `reference`.

    The reference lies in `.crm/nodes/NAME/reference.json` once it is whole, with values of the score and of fields in
    the clear only. To begin a new one, as after a retraining, remove the file and restart. GET `/drift` tells what the
    metrics `crm_drift_psi`, `crm_drift_ks` and `crm_drift_ks_p` tell.
    """

    kind = "drift_detector"

    class Settings(Receiver.Settings):
        """How much is compared."""

        reference: str | None = None
        """A reference.json to begin with, relative to the repo; unset: the first rows that come."""
        reference_rows: int = Field(default=5_000, ge=100)
        """Rows that make a reference."""
        window_rows: int = Field(default=2_000, ge=100)
        """Newest rows that are compared with it."""
        every_rows: int = Field(default=200, ge=1)
        """Rows between two comparisons."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        self._path = place.state / "reference.json"
        self._reference: dict[str, Floats] = {}
        self._bins: dict[str, Bins] = {}
        self._early: dict[str, list[Floats]] = {}
        self._windows: dict[str, Window] = {}
        self._rows, self._due = 0, 0
        self._found: dict[str, dict[str, float]] = {}
        names, kept = ("node", "field"), place.registry
        self._gauges = {
            "psi": Gauge("crm_drift_psi", "Population stability index", names, registry=kept),
            "ks": Gauge("crm_drift_ks", "Kolmogorov-Smirnov statistic", names, registry=kept),
            "ks_p": Gauge("crm_drift_ks_p", "Its p-value", names, registry=kept),
        }
        self._ready = Gauge("crm_drift_reference_rows", "Rows of the reference", ("node",), registry=kept)

    async def start(self) -> None:
        """Read the reference.

        Raises:
            DataError: it is not one.
        """
        given = self.place.root / self.settings.reference if self.settings.reference else self._path
        if self._path.is_file() or self.settings.reference:
            path = self._path if self._path.is_file() else given
            try:
                told = json.loads(path.read_text())
                reference = {str(name): np.array(values, dtype=np.float64) for name, values in told.items()}
            except (OSError, ValueError, TypeError, AttributeError) as error:
                what = f"{path} is no reference of node `{self.place.name}`: {type(error).__name__}"
                raise DataError(what, "remove it: the first rows then make a new one") from None
            self._compare_with(reference)

    def pages(self) -> Mapping[str, Any]:
        """What was found last."""
        return {"/drift": lambda: {"rows": self._rows, "fields": self._found}}

    def take(self, identity: str, columns: Mapping[str, Floats]) -> None:
        """Into the reference while there is none, then into the window."""
        rows = len(columns["score"])
        if not self._bins:
            for name, values in columns.items():
                self._early.setdefault(name, []).append(values)
            if sum(map(len, self._early["score"])) >= self.settings.reference_rows:
                self._keep_reference()
            return
        for name, values in columns.items():
            if name in self._windows:
                self._windows[name].add(values)
        self._rows += rows
        if self._rows >= self._due:
            self._due = self._rows + self.settings.every_rows
            self._compare()

    def _keep_reference(self) -> None:
        draws = np.random.default_rng(0)
        reference = {}
        for name, parts in self._early.items():
            values = np.concatenate(parts)
            reference[name] = values if len(values) <= _SAMPLE else draws.choice(values, _SAMPLE, replace=False)
        told = {name: [None if v != v else v for v in values.tolist()] for name, values in reference.items()}
        with whole_file(self._path) as draft:
            draft.write_text(json.dumps(told))
        self._early = {}
        self._compare_with(reference)

    def _compare_with(self, reference: Mapping[str, Floats]) -> None:
        self._bins = {name: spread(values) for name, values in reference.items()}
        self._reference = {name: np.sort(values[np.isfinite(values)]) for name, values in reference.items()}
        self._windows = {name: Window(self.settings.window_rows) for name in reference}
        self._ready.labels(self.place.name).set(max(map(len, reference.values()), default=0))

    def _compare(self) -> None:
        for name, window in self._windows.items():
            values = window.values
            known = values[np.isfinite(values)]
            statistic, p = ks_test(self._reference[name], known)
            found = {"psi": stability_index(self._bins[name], values), "ks": statistic, "ks_p": p}
            self._found[name] = {what: round(value, 6) for what, value in found.items() if math.isfinite(value)}
            for what, value in found.items():
                self._gauges[what].labels(self.place.name, name).set(value)


def ks_test(reference: Floats, values: Floats) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov statistic and its asymptotic p-value; NaN where a sample is empty.

    Args:
        reference: (n,), ascending.
        values: (m,), without NaN.

    Source: Press et al., Numerical Recipes (2007), 14.3.3.
    """
    n, m = len(reference), len(values)
    if not n or not m:
        return math.nan, math.nan
    values = np.sort(values)
    every = np.concatenate([reference, values])
    share = np.searchsorted(reference, every, side="right") / n
    statistic = float(np.abs(share - np.searchsorted(values, every, side="right") / m).max())
    root = math.sqrt(n * m / (n + m))
    scaled = (root + 0.12 + 0.11 / root) * statistic
    if scaled < 0.2:  # the series does not converge there, and the value is 1 to ten places
        return statistic, 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, _TERMS))
    return statistic, min(1.0, max(0.0, math.fsum(terms)))
