"""A team's own Feast views put online: each entity's newest row of the view's source, where the store lacks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carrental_mlops.errors import DataError

if TYPE_CHECKING:
    from feast import FeatureStore

    from carrental_mlops.core.context import Context


@dataclass(frozen=True)
class Materialised:
    """What one materialisation did to one view."""

    entities: int
    """Entities that have, or once had, a snapshot."""
    written: int
    """Those whose values differed online and were written."""


def fill_view(context: Context, store: FeatureStore, name: str, batch: int) -> Materialised:
    """Writes the newest row per entity of view `name`, up to now, where what is online differs.

    Args:
        context: the run, for its log.
        store: opened with an online store; the view is registered in it.
        name: of a `FeatureView` with a batch source.
        batch: entities read, compared and written at a time.

    Raises:
        DataError: the source cannot be read, or lacks a column.
    """
    view = store.get_feature_view(name)
    newest = _newest(store, view)
    features, written = [field.name for field in view.features], 0
    for start in range(0, len(newest), batch):
        part = newest.iloc[start : start + batch]
        keys = {key: part[key].tolist() for key in view.join_keys}
        online = store.get_online_features([f"{name}:{feature}" for feature in features], entity_rows=keys).to_dict()
        differs = np.zeros(len(part), dtype=bool)
        for feature in features:
            differs |= _differ(online[feature], part[feature].tolist())
        if differs.any():
            store.write_to_online_store(name, df=part[differs])
        written += int(differs.sum())
    context.log.info("%s: %d entities, %d written", name, len(newest), written)
    return Materialised(entities=len(newest), written=written)


def _newest(store: FeatureStore, view: Any) -> pd.DataFrame:
    from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

    source = view.batch_source
    try:
        job = get_offline_store_from_config(store.config.offline_store).pull_latest_from_table_or_query(
            config=store.config,
            data_source=source,
            join_key_columns=list(view.join_keys),
            feature_name_columns=[field.name for field in view.features],
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column or None,
            start_date=datetime(1970, 1, 1, tzinfo=UTC),
            end_date=datetime.now(UTC),
        )
        rows: pd.DataFrame = job.to_df()
    except Exception as error:  # whatever the library behind the source raises
        raise DataError(
            f"view `{view.name}` cannot be read from {source.name}: {error}",
            "mend its source in feature_views.py, or set online=False there",
        ) from error
    return rows.dropna(subset=list(view.join_keys)).reset_index(drop=True)


def _differ(online: Sequence[Any], wanted: Sequence[Any]) -> NDArray[np.bool_]:
    return np.array([not _same(a, b) for a, b in zip(online, wanted, strict=True)], dtype=bool)


def _same(a: Any, b: Any) -> bool:
    if np.ndim(a) or np.ndim(b):
        return bool(np.array_equal(a, b))
    return bool(pd.isna(b)) if pd.isna(a) else bool(a == b)
