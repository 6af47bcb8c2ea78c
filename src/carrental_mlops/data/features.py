"""One definition of a repo's features, run by the training pipeline and by the service alike."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrental_mlops.core import hook
from carrental_mlops.core.guarded import Guarded
from carrental_mlops.errors import OverrideError

Arrays = Mapping[str, NDArray[np.float64]]


def as_numbers(values: ArrayLike) -> NDArray[np.float64]:
    """`values` as float64; date-times become seconds since 1970-01-01 UTC, a missing value NaN.

    Raises:
        ValueError, TypeError: something in it is no number.
    """
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    array = np.asarray(values)
    if array.dtype == object and array.size and hasattr(array.flat[0], "timestamp"):
        return np.array([v.timestamp() for v in array.flat], dtype=np.float64).reshape(array.shape)
    if array.dtype.kind == "M":
        nanoseconds = array.astype("datetime64[ns]").astype(np.int64)
        return np.where(np.isnat(array), np.nan, nanoseconds / 1e9)
    return array.astype(np.float64)


@dataclass(frozen=True)
class History:
    """Aggregates over an entity's past, one row per entity and day, as known at that midnight (UTC).

    The row of day D covers [D - days, D); label rates cover [D - delay - days, D - delay), because a label
    is known `columns.label_delay_days` after its row. Training joins the newest row at or before the event;
    the online store holds the same row, so both see the same value.
    """

    view: str
    """Name of the Feast feature view, such as `customer_history`."""
    entity: str
    """Join key, such as `customer_id`."""
    days: tuple[int, ...] = (1, 7, 30)
    """Window lengths."""
    mean: tuple[str, ...] = ()
    """Numeric columns whose mean over the window is a feature."""
    label_rate: bool = False
    """Share of rows in the window whose label was positive."""

    def features(self) -> tuple[str, ...]:
        """`count_7d`, `amount_eur_mean_7d`, `label_rate_7d`, … for each window."""
        names = ("count", *(f"{c}_mean" for c in self.mean), *(("label_rate",) if self.label_rate else ()))
        return tuple(f"{name}_{n}d" for n in self.days for name in names)


class FeatureSet(Guarded):
    """Names of stored features, and features computed from the request.

    Imports neither Feast nor pandas: the serving image loads this class too.
    """

    history: ClassVar[tuple[History, ...]] = ()
    """Aggregates that the features pipeline computes from the repo's own rows."""
    stored: ClassVar[tuple[str, ...]] = ()
    """Further Feast references, `view:feature`, made elsewhere."""
    request: ClassVar[tuple[str, ...]] = ()
    """Fields that the caller sends and the model may see: numbers, or a date-time, which `compute` gets as seconds
    since 1970-01-01 UTC (`as_numbers`) and the model does not see where it is the time column."""

    @classmethod
    def _admit(cls) -> None:
        open_names = ("history", "request", "stored")
        for name in vars(cls):
            close = difflib.get_close_matches(name, open_names, n=1, cutoff=0.75)
            if close and name not in open_names:
                raise OverrideError(f"`{cls.__name__}.{name}` is not read by anything", f"rename it to `{close[0]}`")

    @classmethod
    def references(cls) -> tuple[str, ...]:
        """Every stored feature as Feast writes it, `view:feature`."""
        return (*(f"{h.view}:{name}" for h in cls.history for name in h.features()), *cls.stored)

    @classmethod
    def stored_columns(cls) -> tuple[str, ...]:
        """Every stored feature as `compute` and the model see it, `view__feature`."""
        return tuple(reference.replace(":", "__") for reference in cls.references())

    @hook(since="0.1", returns="new columns by name, each as long as the input; element-wise, no state", every=1000)
    def compute(self, *, columns: Arrays) -> Arrays:
        """Columns derived from request fields and stored features, for one row or a million."""
        return {}
