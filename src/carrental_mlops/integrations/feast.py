"""Feast: the point-in-time join; with `feast_online`, what the service reads.

Everything lies in `<repo>/.crm/feast`: one Parquet file a view, the registry, the SQLite online store. Redis serves
online instead where $CRM_REDIS_URL is set.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import DataError
from carrental_mlops.files import locked
from carrental_mlops.integrations.feast_online import materialise, read_online
from carrental_mlops.integrations.feast_store import (
    TIMESTAMP,
    Features,
    HistoryView,
    apply,
    count_unseen,
    feast_folder,
    history_views,
    open_store,
    quiet,
    write_tables,
)
from carrental_mlops.integrations.feast_views import Materialised

if TYPE_CHECKING:
    from feast import FeatureStore

    from carrental_mlops.config import Columns
    from carrental_mlops.core.context import Context

__all__ = ["Materialised", "history_views", "join_historical", "materialise", "read_online"]

_ROW = "__crm_row"


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
        joined = _historical(store, wanted, feature_set)
    return rows.assign(**_in_order(joined, feature_set, len(rows)))


def _historical(store: FeatureStore, wanted: pd.DataFrame, feature_set: Features) -> pd.DataFrame:
    from feast.errors import FeastObjectNotFoundException

    references = list(feature_set.references())
    try:
        return store.get_historical_features(entity_df=wanted, features=references, full_feature_names=True).to_df()
    except (FeastObjectNotFoundException, KeyError) as error:
        raise DataError(
            f"join: Feast knows no {error}; asked for {references}",
            "define it in VIEWS of feature_views.py, or take it out of `stored` in features.py",
        ) from error


@contextmanager
def _join_folder(context: Context) -> Iterator[Path]:
    if context.stores:
        with locked(feast_folder(context) / "lock"):
            yield feast_folder(context)
    else:
        with tempfile.TemporaryDirectory(prefix="crm-feast-") as folder:
            yield Path(folder)


def _entity_rows(
    feature_set: Features, rows: pd.DataFrame, columns: Columns, views: Iterable[Any] | None
) -> pd.DataFrame:
    keys = {h.entity for h in feature_set.history}
    for thing in views or ():  # a view knows its keys only where its schema names them; its entities always do
        joins = (*getattr(thing, "join_keys", ()), getattr(thing, "join_key", None))
        keys.update(key for key in joins if key in rows.columns)
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
    found = {name: joined[name].to_numpy(np.float64, na_value=np.nan)[order] for name in names}
    return count_unseen(found, feature_set)
