"""The repo's own history features: daily snapshots from raw rows, and their point-in-time join in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carrental_mlops.core.arrays import Floats, Ints
from carrental_mlops.data.features import History
from carrental_mlops.errors import DataError

if TYPE_CHECKING:
    from carrental_mlops.config.models import Columns


TIMESTAMP = "event_timestamp"
_NS_PER_DAY = 86_400_000_000_000
_CELLS = 4_000_000
"""Entity-days held in memory at a time."""


@dataclass(frozen=True)
class FeatureTables:
    """Snapshots by view name: the entity, `event_timestamp` (UTC midnight), then float64 features."""

    tables: Mapping[str, pd.DataFrame]

    def save(self, folder: Path) -> None:
        """One Parquet file a view into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for view, table in self.tables.items():
            table.to_parquet(folder / f"{view}.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> FeatureTables:
        """The tables that `save` wrote into `folder`."""
        return cls({path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))})


def aggregate(rows: pd.DataFrame, history: Sequence[History], columns: Columns) -> FeatureTables:
    """Daily snapshots of each history.

    The snapshot of day D holds what was known at that midnight: counts and means of [D - days, D), label rates of
    [D - delay - days, D - delay). An entity has a row for each day after its first event until the day after the
    last row of data; of a run of days with nothing in any window only the first is kept, which changes no join.

    Args:
        rows: one row per event with time (UTC; naive is read as UTC), entities, the columns of `mean` and the label;
            a row without its entity is left out, a label that is missing counts as unknown.
        history: what to aggregate.
        columns: roles; `label_delay_days` shifts the label windows.

    Raises:
        DataError: a column that a history names is missing.
    """
    return FeatureTables({h.view: _snapshots(rows, h, columns) for h in history})


def join_as_of(rows: pd.DataFrame, tables: FeatureTables, history: Sequence[History], columns: Columns) -> pd.DataFrame:
    """`rows` with a `view__feature` column for each history feature, same rows, order and index.

    Each row gets its entity's newest snapshot at or before the row's time; an entity without one gets count 0 and
    NaN elsewhere.

    Raises:
        DataError: a view, its entity or a feature of it is missing.
    """
    return AsOfJoin(tables, history, columns.time).join(rows)


class AsOfJoin:
    """`join_as_of` for many chunks of rows: the tables are sorted once."""

    def __init__(self, tables: FeatureTables, history: Sequence[History], time: str) -> None:
        """Take the tables of `history`; `time` is the column of the rows' times.

        Raises:
            DataError: a view, its entity or a feature of it is missing.
        """
        self._time = time
        self._views: list[tuple[History, pd.DataFrame, _Newest]] = []
        for h in history:
            if h.view not in tables.tables:
                found = sorted(tables.tables)
                raise DataError(f"join: no table for view `{h.view}`, found {found}", "crm run features")
            table = tables.tables[h.view]
            _require(table, [h.entity, TIMESTAMP, *h.features()], f"view `{h.view}`")
            self._views.append((h, table, _Newest(table[h.entity], day_numbers(table[TIMESTAMP]))))

    def join(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What `join_as_of` gives for these rows.

        Raises:
            DataError: the rows lack their time or an entity.
        """
        _require(rows, [self._time, *(h.entity for h, _, _ in self._views)], "rows")
        days = day_numbers(rows[self._time])
        added: dict[str, Floats] = {}
        for h, table, newest in self._views:
            found = newest.of(rows[h.entity], days)
            for name in h.features():
                values = np.full(len(rows), 0.0 if name.startswith("count_") else np.nan)
                values[found >= 0] = table[name].to_numpy(np.float64)[found[found >= 0]]
                added[f"{h.view}__{name}"] = values
        return rows.assign(**added)


def day_numbers(times: pd.Series[Any]) -> Ints:
    """(n,) int64 days since 1970-01-01 UTC of `times`; naive times are read as UTC."""
    utc = pd.to_datetime(times, utc=True).dt.as_unit("ns")
    if utc.isna().any():
        raise DataError(f"`{times.name}` is missing in {int(utc.isna().sum())} rows", "drop those rows in `clean`")
    return utc.to_numpy(dtype="datetime64[ns]").astype(np.int64) // _NS_PER_DAY


def _require(frame: pd.DataFrame, names: Sequence[str], what: str) -> None:
    missing = [n for n in names if n not in frame.columns]
    if missing:
        raise DataError(
            f"{what}: no column {missing}, found {sorted(map(str, frame.columns))}",
            "mend `columns` in crm.yaml or `history` in features.py",
        )


class _Newest:
    """Finds an entity's newest row of a table at or before a day."""

    def __init__(self, entity: pd.Series[Any], at: Ints) -> None:
        self._known = pd.Index(entity.unique())
        code = self._known.get_indexer(pd.Index(entity)).astype(np.int64)
        self._first = int(at.min()) if len(at) else 0
        self._span = int(at.max()) - self._first + 2 if len(at) else 1  # day 0 stands for all before the first
        keys = code * self._span + (at - self._first + 1)
        self._order = np.argsort(keys, kind="stable")
        self._keys, self._code = keys[self._order], code[self._order]

    def of(self, wanted: pd.Series[Any], days: Ints) -> Ints:
        """(n,) position in the table for each entity and day, -1 for none."""
        if not len(self._keys):
            return np.full(len(days), -1)
        code = self._known.get_indexer(pd.Index(wanted)).astype(np.int64)
        day = np.clip(days - self._first + 1, 0, self._span - 1)
        position = np.searchsorted(self._keys, code * self._span + day, side="right") - 1
        same = (code >= 0) & (position >= 0) & (self._code[np.maximum(position, 0)] == code)
        return np.where(same, self._order[np.maximum(position, 0)], -1)


def _snapshots(rows: pd.DataFrame, h: History, columns: Columns) -> pd.DataFrame:
    _require(rows, [h.entity, columns.time, *h.mean, *([columns.label] if h.label_rate else [])], "aggregate")
    rows = rows[rows[h.entity].notna()]
    days = day_numbers(rows[columns.time])
    code, entities = pd.factorize(rows[h.entity], sort=True)
    order = np.argsort(code, kind="stable")
    rows, days, code = rows.iloc[order], days[order], code[order].astype(np.int64)
    first = int(days.min()) if len(days) else 0
    width = int(days.max()) - first + 2 if len(days) else 0  # until the day after the last row
    step = max(1, _CELLS // max(width, 1))
    delay = columns.label_delay_days
    parts = []
    for start in range(0, len(entities), step):
        at = slice(*np.searchsorted(code, [start, start + step]))
        shape = (min(step, len(entities) - start), width)
        cells = _Cells((code[at] - start) * width + (days[at] - first), shape)
        parts.append(_windows(rows.iloc[at], cells, h, columns.label, delay, (start, first)))
    codes, day, values = (np.concatenate(p) for p in zip(*parts, strict=True)) if parts else _nothing(h)
    stamps = pd.to_datetime(day * _NS_PER_DAY, utc=True)
    frame = pd.DataFrame({h.entity: entities.take(codes), TIMESTAMP: stamps})
    return frame.assign(**{name: values[:, i] for i, name in enumerate(h.features())})


def _nothing(h: History) -> tuple[Ints, Ints, Floats]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(h.features())))


@dataclass(frozen=True)
class _Cells:
    """Where each row falls in an (entities, days) grid."""

    flat: Ints
    shape: tuple[int, int]

    def before(self, values: Floats) -> Floats:
        """(entities, days + 1) sum of `values` over all days before each day."""
        size = self.shape[0] * self.shape[1]
        daily = np.bincount(self.flat, weights=values, minlength=size).reshape(self.shape)
        return np.concatenate([np.zeros((self.shape[0], 1)), np.cumsum(daily, axis=1)], axis=1)[:, :-1]


def _over(before: Floats, days: int, delay: int = 0) -> Floats:
    """Sum over [D - delay - days, D - delay) of each day D."""
    return _lag(before, delay) - _lag(before, delay + days)


def _lag(values: Floats, by: int) -> Floats:
    if by == 0:
        return values
    lagged = np.zeros_like(values)
    lagged[:, by:] = values[:, : max(values.shape[1] - by, 0)]
    return lagged


def _windows(
    rows: pd.DataFrame, cells: _Cells, h: History, label: str, delay: int, origin: tuple[int, int]
) -> tuple[Ints, Ints, Floats]:
    """Entity codes, day numbers and (n, features) values of the snapshots worth keeping."""
    sums: dict[str, tuple[Floats, Floats]] = {}
    for name in h.mean:
        value = rows[name].to_numpy(np.float64)
        known = np.isfinite(value)
        sums[name] = cells.before(np.where(known, value, 0.0)), cells.before(known.astype(np.float64))
    if h.label_rate:
        value = rows[label].to_numpy(np.float64)
        known = np.isfinite(value)
        rates = cells.before(np.where(known, value, 0.0)), cells.before(known.astype(np.float64))
    count = cells.before(np.ones(len(rows)))
    features, anything = [], np.zeros(cells.shape, dtype=bool)
    for n in h.days:
        counted = _over(count, n)
        anything |= counted > 0
        features.append(counted)
        features += [_ratio(_over(total, n), _over(known, n)) for total, known in sums.values()]
        if h.label_rate:
            labelled = _over(rates[1], n, delay)
            anything |= labelled > 0
            features.append(_ratio(_over(rates[0], n, delay), labelled))
    keep = anything.copy()
    keep[:, 1:] |= anything[:, :-1]
    entity, day = np.nonzero(keep)
    return entity + origin[0], day + origin[1], np.stack([f[keep] for f in features], axis=1)


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
