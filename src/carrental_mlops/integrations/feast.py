"""Feast: the point-in-time join, the online store and what reads it.

Everything lies in `<repo>/.crm/feast`: one Parquet file a view, the registry, the SQLite online store. Redis serves
online instead where $CRM_REDIS_URL is set.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carrental_mlops.errors import DataError
from carrental_mlops.integrations.feast_store import (
    TIMESTAMP,
    Features,
    HistoryView,
    apply,
    feast_folder,
    history_views,
    locked,
    online_config,
    open_store,
    quiet,
    write_tables,
)

if TYPE_CHECKING:
    from feast import FeatureStore

    from carrental_mlops.config import Columns
    from carrental_mlops.core.context import Context

__all__ = ["Materialised", "history_views", "join_historical", "materialise", "read_online"]

Floats = NDArray[np.float64]
_ROW = "__crm_row"
_BATCH = 2_000
"""Entities read, compared and written at a time: what a kill can cost."""


@dataclass(frozen=True)
class Materialised:
    """What one materialisation did to one view."""

    entities: int
    """Entities with a snapshot."""
    written: int
    """Rows that differed online and were written, those of `gone` included."""


def join_historical(
    context: Context,
    feature_set: Features,
    tables: Mapping[str, pd.DataFrame],
    rows: pd.DataFrame,
    columns: Columns,
    views: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """`rows` with a float64 `view__feature` column for each stored feature; same rows, order and index.

    Each row gets its entity's newest snapshot at or before the row's time; a key without one, or a missing key, gets
    count 0 and NaN elsewhere in the repo's own histories. Stores nothing in the repo where `context.stores` is False.

    Args:
        context: the run.
        feature_set: names the histories and further references.
        tables: snapshots by view name: key, `event_timestamp` (UTC), float64 features.
        rows: one row per event; naive times are read as UTC.
        columns: roles; `time` and the keys of the views are read.
        views: the repo's `feature_views.VIEWS`; needed for references that are not histories.

    Raises:
        DataError: a table, key or time is missing, a key's type differs, or Feast lost or doubled a row.
    """
    if not feature_set.references():
        return rows.copy()
    wanted = _entity_rows(feature_set, rows, columns, views)
    for h in feature_set.history:
        if h.view in tables:
            _check_key(rows, tables[h.view], h)
    with quiet(), _join_folder(context) as folder:
        write_tables(folder, feature_set, tables)
        store = open_store(context, folder)
        apply(store, folder, feature_set, views, context.root)
        joined = store.get_historical_features(
            entity_df=wanted, features=list(feature_set.references()), full_feature_names=True
        ).to_df()
    return rows.assign(**_in_order(joined, feature_set, len(rows)))


@contextmanager
def _join_folder(context: Context) -> Iterator[Path]:
    if context.stores:
        with locked(feast_folder(context)):
            yield feast_folder(context)
    else:
        with tempfile.TemporaryDirectory(prefix="crm-feast-") as folder:
            yield Path(folder)


def _entity_rows(
    feature_set: Features, rows: pd.DataFrame, columns: Columns, views: Iterable[Any] | None
) -> pd.DataFrame:
    keys = {h.entity for h in feature_set.history}
    for view in views or ():
        keys.update(key for key in getattr(view, "join_keys", ()) if key in rows.columns)
    if missing := [name for name in (columns.time, *sorted(keys)) if name not in rows.columns]:
        raise DataError(
            f"join: rows lack {missing}, found {sorted(map(str, rows.columns))}",
            "mend `columns` in crm.yaml or `history` in features.py",
        )
    times = pd.to_datetime(rows[columns.time], utc=True)
    if times.isna().any():
        raise DataError(f"join: `{columns.time}` is missing in {int(times.isna().sum())} rows", "drop them in `clean`")
    frame = {key: (rows[key].astype(object) if rows[key].dtype == "category" else rows[key]).array for key in keys}
    return pd.DataFrame({**frame, TIMESTAMP: times.array, _ROW: np.arange(len(rows))})


def _check_key(rows: pd.DataFrame, table: pd.DataFrame, h: HistoryView) -> None:
    found, stored = rows[h.entity].dropna(), table[h.entity].dropna()
    if len(found) and len(stored) and pd.api.types.is_number(found.iloc[0]) != pd.api.types.is_number(stored.iloc[0]):
        raise DataError(
            f"join: `{h.entity}` is {found.iloc[0]!r} in the rows and {stored.iloc[0]!r} in view `{h.view}`",
            "give the key one type in `clean` and aggregate again: crm run features",
        )


def _in_order(joined: pd.DataFrame, feature_set: Features, n: int) -> dict[str, Floats]:
    ids = joined[_ROW].to_numpy()
    if len(ids) != n or not np.array_equal(np.bincount(ids, minlength=n), np.ones(n, dtype=np.int64)):
        raise DataError(
            f"join: {n} rows went to Feast, {len(ids)} came back, {len(np.unique(ids))} of them distinct",
            "report it with the view's table; a join must neither lose nor double a row",
        )
    order = np.argsort(ids)
    names = [reference.replace(":", "__") for reference in feature_set.references()]
    counts = set(_counts(feature_set))
    found = {name: joined[name].to_numpy(np.float64, na_value=np.nan)[order] for name in names}
    return {name: _unseen(values) if name in counts else values for name, values in found.items()}


def _counts(feature_set: Features) -> list[str]:
    return [f"{h.view}__{f}" for h in feature_set.history for f in h.features() if f.startswith("count_")]


def _unseen(count: Floats) -> Floats:
    return np.where(np.isnan(count), 0.0, count)


def materialise(
    context: Context,
    feature_set: Features,
    tables: Mapping[str, pd.DataFrame],
    views: Iterable[Any] | None = None,
    redis_url: str | None = None,
) -> dict[str, Materialised]:
    """Puts each entity's newest snapshot into the online store; what is there already is read, not written.

    The store itself says what is missing, so a killed run goes on where it stopped, a flushed Redis fills again, and a
    second run writes nothing.

    Args:
        context: the run; must have `stores`.
        feature_set: names the histories; further references are materialised by whoever makes them.
        tables: snapshots by view name: key, `event_timestamp` (UTC), float64 features.
        views: the repo's `feature_views.VIEWS`, registered as well.
        redis_url: online store; otherwise $CRM_REDIS_URL, otherwise SQLite.

    Returns:
        By view name, what was done.

    Raises:
        DataError: a table, key, timestamp or feature is missing.
        PlatformError: the online store does not answer.
    """
    folder = feast_folder(context)
    with quiet(), locked(folder):
        write_tables(folder, feature_set, tables)
        store = open_store(context, folder, online_config(folder, redis_url))
        apply(store, folder, feature_set, views, context.root)
        return {h.view: _materialise_view(context, store, h, tables[h.view]) for h in feature_set.history}


def _materialise_view(context: Context, store: FeatureStore, h: HistoryView, table: pd.DataFrame) -> Materialised:
    newest = table.sort_values(TIMESTAMP, kind="stable").drop_duplicates(h.entity, keep="last")
    newest = newest[[h.entity, TIMESTAMP, *h.features()]].reset_index(drop=True)
    written = 0
    for start in range(0, len(newest), _BATCH):
        batch = newest.iloc[start : start + _BATCH]
        online = _read_view(store, h, batch[h.entity].tolist())
        differs = np.zeros(len(batch), dtype=bool)
        for name in h.features():
            differs |= _bits(online[name]) != _bits(batch[name].to_numpy(np.float64))
        if differs.any():
            store.write_to_online_store(h.view, df=batch[differs])
        written += int(differs.sum())
        context.log.info("%s: %d of %d entities, %d written", h.view, start + len(batch), len(newest), written)
    return Materialised(entities=len(newest), written=written)


def _bits(values: Floats) -> NDArray[np.int64]:
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


def _read_view(store: FeatureStore, h: HistoryView, keys: list[Any]) -> dict[str, Floats]:
    """(n,) float64 by feature as stored, NaN for what is not there."""
    references = [f"{h.view}:{name}" for name in h.features()]
    found = store.get_online_features(features=references, entity_rows={h.entity: keys}).to_dict()
    return {name: np.array(found[name], dtype=np.float64) for name in h.features()}


def read_online(
    context: Context, feature_set: Features, entity_rows: Any, redis_url: str | None = None
) -> Mapping[str, Floats]:
    """What the service would see: `view__feature` to (n,) float64 for each history, NaN and count 0 when unseen.

    Args:
        context: gives repo and service.
        feature_set: names the histories.
        entity_rows: n keys: rows (`[{"customer_id": 7}, …]`), columns, or a frame; a missing key counts as unseen.
        redis_url: online store; otherwise $CRM_REDIS_URL, otherwise SQLite.

    Raises:
        DataError: nothing was materialised yet, or a key column is missing.
        PlatformError: the online store does not answer.
    """
    folder = feast_folder(context)
    frame = pd.DataFrame(entity_rows)
    with quiet():
        store = open_store(context, folder, online_config(folder, redis_url))
        read: dict[str, Floats] = {}
        for h in feature_set.history:
            known = frame[h.entity].notna().to_numpy()
            keys, places = np.unique(frame[h.entity][known], return_inverse=True)
            values = _read_view(store, h, keys.tolist()) if len(keys) else {}
            for name in h.features():
                column = np.full(len(frame), np.nan)
                if len(keys):
                    column[known] = values[name][places]
                read[f"{h.view}__{name}"] = _unseen(column) if name.startswith("count_") else column
    return read
