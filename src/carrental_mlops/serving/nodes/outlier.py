"""Outliers among the answered rows: robust z or Mahalanobis distance, from masked events, as metrics."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from prometheus_client import Counter, Gauge
from pydantic import Field

from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file
from carrental_mlops.serving.nodes.base import Place
from carrental_mlops.serving.nodes.events import SCORE, Receiver, Window

_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation, of a normal distribution."""
_SHRINK = 0.01
"""Share of the identity in the correlation matrix, so that it can be inverted."""
_KEPT = 100


class OutlierDetector(Receiver):
    """A row is an outlier where it lies further from the middle of the first rows than all but `share` of these did.

    `robust_z`: the largest distance from a field's median, in robust standard deviations. `mahalanobis`: the distance
    in the robustly scaled fields with their correlations, which sees a strange pair of usual values too; a missing
    value counts as the median. What was learnt lies in `.crm/nodes/NAME/middle.json`: medians, scales, correlations;
    the rows that are still learnt from, and what was found in the newest ones, beside it in `state.json`. GET
    `/outliers` names the newest events, by the id that the service gave them, with the field that stands out.
    """

    kind = "outlier_detector"

    class Settings(Receiver.Settings):
        """What counts as strange."""

        method: Literal["robust_z", "mahalanobis"] = "robust_z"
        share: float = Field(default=0.001, gt=0, lt=0.5)
        """Share of the first rows that would be outliers."""
        reference_rows: int = Field(default=5_000, ge=100)
        """Rows that are learnt from; none of them is judged."""
        window_rows: int = Field(default=2_000, ge=1)
        """Newest rows whose share of outliers is told."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        self._path = place.state / "middle.json"
        self._middle: Middle | None = None
        self._early: list[dict[str, float]] = []
        self._newest: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._window = Window(settings.window_rows)
        node, kept = ("node",), place.registry
        self._judged = Counter("crm_outlier_rows", "Rows judged", node, registry=kept).labels(place.name)
        self._strange = Counter("crm_outliers", "Rows that are outliers", node, registry=kept).labels(place.name)
        self._share = Gauge("crm_outlier_share", "Share of outliers, newest rows", node, registry=kept)
        self._by = Counter("crm_outliers_by_field", "Outliers by what stands out", ("node", "field"), registry=kept)

    async def start(self) -> None:
        """Read what was learnt, and go on where the process before stopped.

        Raises:
            DataError: a file holds something else.
        """
        if self._path.is_file():
            try:
                self._middle = Middle.from_json(json.loads(self._path.read_text()))
            except (ValueError, KeyError, TypeError) as error:
                what = f"{self._path} is not what node `{self.place.name}` left: {type(error).__name__}"
                raise DataError(what, "remove it: it then learns anew") from None
        await super().start()

    def kept(self) -> dict[str, Any]:
        """Rows that are learnt from, whether the newest ones were outliers, and the newest outliers."""
        return {"early": self._early, "strange": self._window.oldest_first, "newest": list(self._newest)}

    def resume(self, told: Mapping[str, Any]) -> None:
        """These; rows only where nothing was learnt of them yet."""
        if self._middle is None:
            self._early = [{name: _number(value) for name, value in row.items()} for row in told["early"]]
        self._newest.extend(dict(one) for one in told["newest"])
        self._window.add([float(one) for one in told["strange"]])
        if len(self._window):
            self._share.labels(self.place.name).set(float(self._window.values.mean()))

    def pages(self) -> Mapping[str, Any]:
        """The newest outliers."""
        return {"/outliers": lambda: {"learnt": self._middle is not None, "newest": list(self._newest)}}

    def take(self, identity: str, version: str, columns: Mapping[str, Floats]) -> None:
        """Learn from its rows, or judge them; by what came in, not by the score."""
        for row in range(len(columns[SCORE])):
            values = {name: float(column[row]) for name, column in columns.items() if name != SCORE}
            if self._middle is None:
                self._early.append(values)
                if len(self._early) >= self.settings.reference_rows:
                    self._learn()
            else:
                self._judge(self._middle, identity, row, values)

    def _learn(self) -> None:
        names = tuple(sorted({name for row in self._early for name in row}))
        table = np.array([[row.get(name, np.nan) for name in names] for row in self._early])
        self._middle = Middle.of(names, table, self.settings.method, self.settings.share)
        with whole_file(self._path) as draft:
            draft.write_text(json.dumps(self._middle.to_json()))
        self._early = []

    def _judge(self, middle: Middle, identity: str, row: int, values: Mapping[str, float]) -> None:
        distance, field = middle.distance(np.array([values.get(name, np.nan) for name in middle.names]))
        strange = distance > middle.limit
        self._judged.inc()
        self._window.add([float(strange)])
        self._share.labels(self.place.name).set(float(self._window.values.mean()))
        if strange:
            self._strange.inc()
            self._by.labels(self.place.name, field).inc()
            self._newest.append({"event": identity, "row": row, "distance": round(distance, 3), "field": field})


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


class Middle:
    """Where usual rows lie.

    Args:
        names: of the fields.
        median: (k,).
        scale: (k,), above 0.
        inverse: (k, k) of the correlations; None for the robust z.
        limit: distance beyond which a row is an outlier.
    """

    def __init__(
        self, names: tuple[str, ...], median: Floats, scale: Floats, inverse: Floats | None, limit: float
    ) -> None:
        self.names, self.limit = names, limit
        self._median, self._scale, self._inverse = median, scale, inverse

    @classmethod
    def of(cls, names: tuple[str, ...], table: Floats, method: str, share: float) -> Middle:
        """The middle of (n, k) rows, NaN where missing; fields that are always the same or missing are left out."""
        held = [place for place in range(len(names)) if len(np.unique(table[np.isfinite(table[:, place]), place])) > 1]
        names, table = tuple(names[place] for place in held), table[:, held]
        median = np.nanmedian(table, axis=0) if held else np.empty(0)
        spread = _TO_SIGMA * np.nanmedian(np.abs(table - median), axis=0) if held else np.empty(0)
        scale = np.where(spread > 0, spread, np.nanstd(table, axis=0)) if held else np.empty(0)
        middle = cls(names, median, scale, None, 0)
        if method == "mahalanobis" and len(held) > 1:
            z = np.clip(middle.scaled(table), -5, 5)  # outliers among the first rows must not hide later ones
            shrunk = (1 - _SHRINK) * np.cov(z, rowvar=False) + _SHRINK * np.eye(len(held))
            middle._inverse = np.asarray(np.linalg.inv(shrunk), dtype=np.float64)
        distances = np.array([middle.distance(row)[0] for row in table])
        middle.limit = float(np.quantile(distances, 1 - share))
        return middle

    def scaled(self, rows: Floats) -> Floats:
        """Robust z of (…, k) values; 0 where missing."""
        return np.asarray(np.nan_to_num((rows - self._median) / self._scale))

    def distance(self, row: Floats) -> tuple[float, str]:
        """How far (k,) values lie, and the field that stands out."""
        if not self.names:
            return 0.0, ""
        z = self.scaled(row)
        if self._inverse is None:
            place = int(np.abs(z).argmax())
            return float(abs(z[place])), self.names[place]
        parts = z * (self._inverse @ z)
        return float(np.sqrt(max(0.0, float(parts.sum())))), self.names[int(parts.argmax())]

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        inverse = None if self._inverse is None else self._inverse.tolist()
        told = {"median": self._median.tolist(), "scale": self._scale.tolist(), "inverse": inverse}
        return {"names": self.names, **told, "limit": self.limit}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Middle:
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        names, inverse = tuple(map(str, told["names"])), told["inverse"]
        median, scale = (np.array(told[name], dtype=np.float64) for name in ("median", "scale"))
        if not len(names) == len(median) == len(scale):
            raise ValueError("lengths differ")
        matrix = None if inverse is None else np.array(inverse, dtype=np.float64).reshape(len(names), len(names))
        return cls(names, median, scale, matrix, float(told["limit"]))
