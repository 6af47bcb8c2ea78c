"""Feast's online store: filled with each entity's newest snapshot, read as the service reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carrental_mlops.config.variables import REDIS_URL
from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import DataError, PlatformError
from carrental_mlops.files import locked
from carrental_mlops.integrations.feast_store import (
    TIMESTAMP,
    Features,
    HistoryView,
    apply,
    count_unseen,
    feast_folder,
    online_config,
    open_store,
    quiet,
    write_parquet,
    write_tables,
)
from carrental_mlops.integrations.feast_views import Materialised, fill_view

if TYPE_CHECKING:
    from feast import FeatureStore

    from carrental_mlops.core.context import Context

_BATCH = 2_000
"""Entities read, compared and written at a time: what a kill can cost."""


def materialise(
    context: Context,
    feature_set: Features,
    tables: Mapping[str, pd.DataFrame],
    views: Iterable[Any] | None = None,
    redis_url: str | None = None,
) -> dict[str, Materialised]:
    """Puts each entity's newest snapshot into the online store; what is there already is read, not written.

    The store itself says what is missing, so a killed run goes on where it stopped, a flushed Redis fills again, and a
    second run writes nothing. An entity that is no longer in its table goes back to count 0 and missing elsewhere.

    Args:
        context: the run; its root gets `.crm/feast`.
        feature_set: names the histories.
        tables: snapshots by view name: key, `event_timestamp` (UTC), float64 features.
        views: the repo's `feature_views.VIEWS`; those that are `online` are filled from their own sources.
        redis_url: online store, `feast.online` of crm.yaml; $CRM_REDIS_URL goes before it; without both, SQLite.

    Returns:
        By view name, what was done; the repo's own views stand after the histories.

    Raises:
        ConfigError: the Redis URL is not one.
        DataError: a table, key, timestamp or feature is missing.
        PlatformError: the online store does not answer.
    """
    folder = feast_folder(context)
    with quiet(), locked(folder / "lock"), _answering():
        write_tables(folder, feature_set, tables)
        store = open_store(context, folder, online_config(folder, redis_url))
        apply(store, folder, feature_set, views, context.root)
        done = {h.view: _fill(context, store, h, _newest(folder, h, tables[h.view])) for h in feature_set.history}
        return done | {name: fill_view(context, store, name, _BATCH) for name in _online_views(views, done)}


def read_online(
    context: Context, feature_set: Features, entity_rows: Any, redis_url: str | None = None
) -> dict[str, Floats]:
    """What the service sees: `view__feature` to (n,) float64 for each stored feature; unseen is count 0 and NaN.

    Args:
        context: gives repo and service.
        feature_set: names the features.
        entity_rows: n keys: rows (`[{"customer_id": 7}, …]`), columns, or a frame; a missing key counts as unseen.
        redis_url: online store, `feast.online` of crm.yaml; $CRM_REDIS_URL goes before it; without both, SQLite.

    Raises:
        ConfigError: the Redis URL is not one.
        DataError: nothing was materialised yet, or a key column is missing.
        PlatformError: the online store does not answer.
    """
    folder = feast_folder(context)
    if not (folder / "registry.db").exists():
        raise DataError(f"nothing was materialised into {folder}", "crm run features")
    frame = pd.DataFrame(entity_rows)
    features: dict[str, list[str]] = {}
    for reference in feature_set.references():
        view, _, name = reference.partition(":")
        features.setdefault(view, []).append(name)
    with quiet(), _answering():
        store = open_store(context, folder, online_config(folder, redis_url))
        read = {
            f"{view}__{name}": values
            for view, names in features.items()
            for name, values in _read(store, view, names, _keys(store, view, frame)).items()
        }
    return count_unseen(read, feature_set)


def _online_views(views: Iterable[Any] | None, done: Mapping[str, Any]) -> list[str]:
    from feast import FeatureView

    return [v.name for v in views or () if isinstance(v, FeatureView) and v.online and v.name not in done]


@contextmanager
def _answering() -> Iterator[None]:
    import sqlite3

    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, sqlite3.OperationalError) as error:
        raise PlatformError(
            f"the online store does not answer: {error}", f"check ${REDIS_URL} and that it runs, then run again", True
        ) from error


def _newest(folder: Path, h: HistoryView, table: pd.DataFrame) -> pd.DataFrame:
    """The newest snapshot per entity, then an empty one for each entity that earlier runs knew and this one does not.

    Which entities were ever put online is written down before they are, so a kill forgets none.
    """
    table = table[table[h.entity].notna()]
    newest = table.sort_values(TIMESTAMP, kind="stable").drop_duplicates(h.entity, keep="last")
    newest = newest[[h.entity, TIMESTAMP, *h.features()]]
    ever = folder / f"{h.view}.online.parquet"
    before = pd.read_parquet(ever)[h.entity] if ever.exists() else newest[h.entity].iloc[:0]
    gone = before[~before.isin(newest[h.entity])]
    if len(gone):
        nothing = {name: 0.0 if name.startswith("count_") else np.nan for name in h.features()}
        stamp = table[TIMESTAMP].max() if len(table) else pd.Timestamp.now("UTC").floor("D")
        newest = pd.concat([newest, pd.DataFrame({h.entity: gone, TIMESTAMP: stamp, **nothing})])
    if len(newest):
        write_parquet(newest[[h.entity]], ever)
    return newest.reset_index(drop=True)


def _fill(context: Context, store: FeatureStore, h: HistoryView, newest: pd.DataFrame) -> Materialised:
    written = 0
    for start in range(0, len(newest), _BATCH):
        batch = newest.iloc[start : start + _BATCH]
        online = _read(store, h.view, h.features(), batch[[h.entity]])
        differs = np.zeros(len(batch), dtype=bool)
        for name, values in online.items():
            differs |= _bits(values) != _bits(batch[name].to_numpy(np.float64))
        if differs.any():
            store.write_to_online_store(h.view, df=batch[differs])
        written += int(differs.sum())
        context.log.info("%s: %d of %d entities, %d written", h.view, start + len(batch), len(newest), written)
    return Materialised(entities=len(newest), written=written)


def _bits(values: Floats) -> NDArray[np.int64]:
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


def _keys(store: FeatureStore, view: str, frame: pd.DataFrame) -> pd.DataFrame:
    from feast.errors import FeatureViewNotFoundException

    try:
        keys = store.get_feature_view(view).join_keys
    except FeatureViewNotFoundException as error:
        raise DataError(f"view `{view}` was not materialised", "crm run features") from error
    if missing := [key for key in keys if key not in frame.columns]:
        raise DataError(f"view `{view}` is read by {keys}; {missing} not among {list(frame.columns)}", "add the key")
    return frame[keys]


def _read(store: FeatureStore, view: str, names: Sequence[str], keys: pd.DataFrame) -> dict[str, Floats]:
    """(n,) float64 by feature as stored, NaN for what is not there; each distinct key is asked for once."""
    known = keys.notna().all(axis=1).to_numpy()
    asked = keys[known].convert_dtypes()
    read = {name: np.full(len(keys), np.nan) for name in names}
    if len(asked):
        place = asked.groupby(list(asked.columns), sort=False).ngroup().to_numpy()
        rows = {str(key): values.tolist() for key, values in asked.drop_duplicates().items()}
        found = store.get_online_features(features=[f"{view}:{name}" for name in names], entity_rows=rows).to_dict()
        for name in names:
            read[name][known] = np.array(found[name], dtype=np.float64)[place]
    return read
