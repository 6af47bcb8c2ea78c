"""Feast's DuckDB offline store with an as-of join: Feast's own widens each row by all of its entity's past first.

Loaded by Feast from its dotted name; nothing else imports this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry


class AsOfOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Named `<store>Config`, as Feast looks it up."""

    type: str = "carrental_mlops.integrations.feast_asof.AsOfOfflineStore"


class AsOfOfflineStore(DuckDBOfflineStore):
    """An as-of join a view: each entity row comes back exactly once, in any order."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """The joined rows as Feast's own store gives them; views that are not plain Parquet go to that store."""
        plain = full_feature_names and not filter_by_created_timestamp and all(map(_is_plain, feature_views))
        if isinstance(entity_df, pd.DataFrame) and plain and not _computes(feature_refs, feature_views):
            return AsOfJob(entity_df, feature_views, feature_refs)
        if entity_df is None:
            raise NotImplementedError("a join needs entity rows")
        return DuckDBOfflineStore.get_historical_features(
            config,
            feature_views,
            feature_refs,
            entity_df,
            registry,
            project,
            full_feature_names,
            filter_by_created_timestamp,
        )


class AsOfJob(RetrievalJob):
    """The join, run when asked for."""

    def __init__(self, rows: pd.DataFrame, views: list[FeatureView], refs: list[str]) -> None:
        time = infer_event_timestamp_from_entity_df(dict(zip(rows.columns, rows.dtypes, strict=True)))
        stamps = pd.DatetimeIndex(pd.to_datetime(rows[time], utc=True)).as_unit("us")
        self._rows = rows.assign(**{time: stamps})
        self._query = _query(views, refs, time)
        self._metadata = RetrievalMetadata(
            features=refs,
            keys=[c for c in rows.columns if c != time],
            min_event_timestamp=stamps.min(),
            max_event_timestamp=stamps.max(),
        )

    @property
    def full_feature_names(self) -> bool:
        """Always `view__feature`."""
        return True

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """None: they go to Feast's own store."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata:
        """References, keys and time range."""
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("entity_rows", pa.Table.from_pandas(self._rows, preserve_index=False))
            return connection.execute(self._query).to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Not offered: write the frame instead."""
        raise NotImplementedError("write `to_df()` to Parquet instead")


def _is_plain(view: FeatureView) -> bool:
    source = view.batch_source
    if not isinstance(source, FileSource) or not source.path.endswith(".parquet") or "://" in source.path:
        return False
    return not source.field_mapping and not source.created_timestamp_column


def _computes(refs: Iterable[str], views: Iterable[Any]) -> bool:
    """True when a reference is none of the views': an on-demand view."""
    return not {r.split(":")[0] for r in refs} <= {v.projection.name_to_use() for v in views}


def _query(views: Sequence[Any], refs: list[str], time: str) -> str:
    """One window a view finds the row of each entity row; DuckDB's ASOF JOIN sorts anew for each of many keys.

    Times are compared in whole microseconds since 1970-01-01 UTC.
    """
    rows = f"SELECT *, row_number() OVER () AS __id, epoch_us({_quoted(time)}) AS __us FROM entity_rows"  # noqa: S608
    parts, selected, joins = [f"r AS MATERIALIZED ({rows})"], ["r.* EXCLUDE (__id, __us)"], []
    for i, view in enumerate(views):
        name = view.projection.name_to_use()
        for feature in (ref.split(":")[1] for ref in refs if ref.startswith(f"{name}:")):
            selected.append(f"{_fresh(f'v{i}', feature, view.ttl)} AS {_quoted(f'{name}__{feature}')}")
        keys = view.projection.join_key_map or {e.name: e.name for e in view.entity_columns}
        parts += [f"v{i} AS ({_stored(view, keys)})", f"m{i} AS ({_matched(f'v{i}', keys)})"]
        joins.append(f"LEFT JOIN m{i} ON m{i}.__id = r.__id LEFT JOIN v{i} ON v{i}.file_row_number = m{i}.__row")
    return f"WITH {', '.join(parts)} SELECT {', '.join(selected)} FROM r {' '.join(joins)}"  # noqa: S608  quoted names


def _stored(view: Any, keys: Mapping[str, str]) -> str:
    """The rows of a view that have a key, with their time as `__us`."""
    path = view.batch_source.path.replace("'", "''")
    stamp = f"epoch_us(CAST({_quoted(view.batch_source.timestamp_field)} AS TIMESTAMPTZ)) AS __us"
    known = " AND ".join(f"{_quoted(key)} IS NOT NULL" for key in keys)
    return f"SELECT *, {stamp} FROM read_parquet('{path}', file_row_number = true) WHERE {known}"  # noqa: S608


def _matched(view: str, keys: Mapping[str, str]) -> str:
    """`__id` of each entity row and `__row`, the newest row of its keys that is not after it; NULL where there is none.

    Args:
        view: name of the view's rows.
        keys: key of the view to that of the entity rows.
    """
    names = [f"__k{n}" for n in range(len(keys))]
    theirs = ", ".join(f"{_quoted(key)} AS {name}" for key, name in zip(keys, names, strict=True))
    mine = ", ".join(f"{_quoted(key)} AS {name}" for key, name in zip(keys.values(), names, strict=True))
    both = (
        f"SELECT {mine}, __us, 1 AS __asks, __id, NULL AS __row FROM r UNION ALL "  # noqa: S608
        f"SELECT {theirs}, __us, 0, NULL, file_row_number FROM {view}"
    )
    order = "ORDER BY __us, __asks, __row ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    newest = f"last_value(__row IGNORE NULLS) OVER (PARTITION BY {', '.join(names)} {order})"
    return f"SELECT __id, {newest} AS __row FROM ({both}) QUALIFY __asks = 1"  # noqa: S608


def _fresh(table: str, feature: str, ttl: Any) -> str:
    value = f"{table}.{_quoted(feature)}"
    if not ttl:
        return value
    return f"CASE WHEN r.__us - {table}.__us <= {round(ttl.total_seconds() * 1_000_000)} THEN {value} END"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
