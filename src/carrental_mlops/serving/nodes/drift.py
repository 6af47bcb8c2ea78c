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
from carrental_mlops.data.measures.drift import spread, stability_index
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file
from carrental_mlops.serving.nodes.base import Place
from carrental_mlops.serving.nodes.events import SCORE, Receiver, Window

_SAMPLE = 5_000
"""Reference values kept for the Kolmogorov-Smirnov statistic."""
_TERMS = 100
_VERSIONS = 10
"""Model versions whose scores are watched at once."""


class DriftDetector(Receiver):
    """Compares the newest rows with the first ones that it saw, or with those of `reference`: each field by itself, and
    the score of each model version.

    References lie in `.crm/nodes/NAME/reference.json` once whole: values of the score and of fields in the clear, no
    others; the newest rows, and those of a reference that is not whole, beside them in `state.json`. To begin anew, as
    after a retraining on newer data, remove both files and restart. GET `/drift` tells what the
    metrics `crm_drift_psi`, `crm_drift_ks` and `crm_drift_ks_p` tell; their `version` is that of the score's model.
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
        self._watched: dict[str, _Watched] = {}
        self._found: dict[str, dict[str, float]] = {}
        names, kept = ("node", "field", "version"), place.registry
        self._gauges = {
            "psi": Gauge("crm_drift_psi", "Population stability index", names, registry=kept),
            "ks": Gauge("crm_drift_ks", "Kolmogorov-Smirnov statistic", names, registry=kept),
            "ks_p": Gauge("crm_drift_ks_p", "Its p-value", names, registry=kept),
        }
        self._ready = Gauge("crm_drift_reference_rows", "Rows of the reference", names, registry=kept)

    async def start(self) -> None:
        """Read the references, and go on where the process before stopped.

        Raises:
            DataError: a file holds something else.
        """
        self._read_references()
        await super().start()

    def _read_references(self) -> None:
        given = self.settings.reference and self.place.root / self.settings.reference
        path = self._path if self._path.is_file() or not given else given
        if path is self._path and not path.is_file():
            return
        try:
            told = json.loads(path.read_text())
            for key, values in told.items():
                self._watch(str(key)).compare_with(np.array(values, dtype=np.float64))
                self._ready.labels(*self._labels(str(key))).set(len(values))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            what = f"{path} is no reference of node `{self.place.name}`: {type(error).__name__}"
            raise DataError(what, "remove it: the first rows then make a new one") from None

    def pages(self) -> Mapping[str, Any]:
        """What was found last."""
        return {"/drift": lambda: {"fields": self._found}}

    def kept(self) -> dict[str, Any]:
        """What was found last, and of each column the rows of a reference that is not whole, and the newest rows."""
        return {"found": self._found, "rows": {key: watched.kept() for key, watched in self._watched.items()}}

    def resume(self, told: Mapping[str, Any]) -> None:
        """These."""
        for key, rows in told["rows"].items():
            self._watch(key).resume(rows)
        for key, found in told["found"].items():
            self._tell(key, {what: float(value) for what, value in found.items() if what in self._gauges})

    def take(self, identity: str, version: str, columns: Mapping[str, Floats]) -> None:
        """Into the reference of each field while that is not whole, else into its window."""
        whole = False
        for name, values in columns.items():
            key = f"{name}@{version}" if name == SCORE else name
            watched = self._watch(key)
            before = watched.rows
            watched.add(values, self.settings.reference_rows)
            whole = whole or watched.rows != before
            if watched.due >= self.settings.every_rows:
                self._tell(key, watched.compare())
        if whole:
            self._keep()

    def _watch(self, key: str) -> _Watched:
        if key not in self._watched:
            scores = [known for known in self._watched if known.startswith(f"{SCORE}@")]
            if key.startswith(f"{SCORE}@") and len(scores) >= _VERSIONS:
                del self._watched[scores[0]]
                self._found.pop(scores[0], None)
            self._watched[key] = _Watched(self.settings.window_rows)
        return self._watched[key]

    def _keep(self) -> None:
        whole = {key: watched.sample for key, watched in self._watched.items() if watched.rows}
        told = {key: [None if v != v else v for v in values.tolist()] for key, values in whole.items()}
        with whole_file(self._path) as draft:
            draft.write_text(json.dumps(told))
        for key, values in whole.items():
            self._ready.labels(*self._labels(key)).set(len(values))

    def _tell(self, key: str, found: Mapping[str, float]) -> None:
        self._found[key] = {what: round(value, 6) for what, value in found.items() if math.isfinite(value)}
        for what, value in found.items():
            self._gauges[what].labels(*self._labels(key)).set(value)

    def _labels(self, key: str) -> tuple[str, str, str]:
        name, _, version = key.partition("@")
        return self.place.name, name, version


class _Watched:
    """One column: its reference, or the rows that will be it, and the newest rows."""

    def __init__(self, window: int) -> None:
        self._early: list[float] = []
        self._window = Window(window)
        self.sample, self._sorted, self.rows, self.due = np.empty(0), np.empty(0), 0, 0

    def add(self, values: Floats, wanted: int) -> None:
        """Further rows; `wanted` of them make the reference."""
        if self.rows:
            self._window.add(values)
            self.due += len(values)
            return
        self._early.extend(values.tolist())
        if len(self._early) >= wanted:
            early, self._early = np.array(self._early), []
            few = early if len(early) <= _SAMPLE else np.random.default_rng(0).choice(early, _SAMPLE, replace=False)
            self.compare_with(few)

    def kept(self) -> dict[str, Any]:
        """As `resume` takes it."""
        return {"early": self._early, "newest": self._window.oldest_first, "due": self.due}

    def resume(self, told: Mapping[str, Any]) -> None:
        """What `kept` gave, beside the reference that is there."""
        early, newest = (np.array(told[name], dtype=np.float64) for name in ("early", "newest"))
        self._early = [] if self.rows else early.tolist()
        self._window.add(newest)
        self.due = int(told["due"])

    def compare_with(self, reference: Floats) -> None:
        """Take (n,) values as the reference."""
        self.sample, self.rows = reference, len(reference)
        self._bins = spread(reference)
        self._sorted = np.sort(reference[np.isfinite(reference)])

    def compare(self) -> dict[str, float]:
        """`psi`, `ks`, `ks_p` of the newest rows against the reference."""
        self.due = 0
        values = self._window.values
        statistic, p = ks_test(self._sorted, values[np.isfinite(values)])
        return {"psi": stability_index(self._bins, values), "ks": statistic, "ks_p": p}


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
