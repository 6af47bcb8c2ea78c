"""A repo's Feast store, built in code: no feature_store.yaml for a team to keep."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd

from carrental_mlops.config.variables import REDIS_URL, online_url
from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import ConfigError, DataError, shown_url
from carrental_mlops.files import whole_file

if TYPE_CHECKING:
    from feast import FeatureStore

    from carrental_mlops.core.context import Context

TIMESTAMP = "event_timestamp"
_FOLDER = Path(".crm") / "feast"


class HistoryView(Protocol):
    """What is read of `data.features.History`."""

    @property
    def view(self) -> str:
        """Feature view name."""

    @property
    def entity(self) -> str:
        """Join key."""

    def features(self) -> tuple[str, ...]:
        """Feature names."""


class Features(Protocol):
    """What is read of a `data.features.FeatureSet`, class or instance."""

    @property
    def history(self) -> Sequence[HistoryView]:
        """Views computed from the repo's own rows."""

    def references(self) -> tuple[str, ...]:
        """Every stored feature, `view:feature`."""


def history_views(feature_set: Features) -> list[Any]:
    """Feast's own objects for `FeatureSet.history`: an Entity a key, a FeatureView on Parquet a view.

    Paths are relative to the repo's root and become absolute when a store is opened, so a moved repo keeps working.
    There is no ttl: the newest snapshot holds however old it is, as in `join_as_of`.
    """
    with quiet():
        from feast import Entity, FeatureView, Field, FileSource, ValueType
        from feast.types import Float64

        keys = {h.entity for h in feature_set.history}  # UNKNOWN: Feast reads the key's type from the table
        entities = {k: Entity(name=k, join_keys=[k], value_type=ValueType.UNKNOWN) for k in sorted(keys)}
        views = [
            FeatureView(
                name=h.view,
                entities=[entities[h.entity]],
                schema=[Field(name=name, dtype=Float64) for name in h.features()],
                source=FileSource(name=h.view, path=str(_FOLDER / f"{h.view}.parquet"), timestamp_field=TIMESTAMP),
                online=True,
            )
            for h in feature_set.history
        ]
    return [*entities.values(), *views]


def count_unseen(columns: Mapping[str, Floats], feature_set: Features) -> dict[str, Floats]:
    """`view__feature` columns in which an entity without a snapshot counts 0; means and rates stay NaN."""
    counts = {f"{h.view}__{f}" for h in feature_set.history for f in h.features() if f.startswith("count_")}
    return {name: np.where(np.isnan(v), 0.0, v) if name in counts else v for name, v in columns.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """Feast's import and calls warn about their own deprecations and log each registry read; ours would drown."""
    logging.getLogger("feast").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def feast_folder(context: Context) -> Path:
    """Where the repo keeps its feature tables, registry and SQLite online store."""
    return context.root / _FOLDER


def project_name(context: Context) -> str:
    """The service as Feast allows it, lower case and `_`; part of every online key."""
    return re.sub(r"[^a-z0-9_]", "_", context.service.lower())


def open_store(context: Context, folder: Path, online: Mapping[str, Any] | None = None) -> FeatureStore:
    """A Feast store whose registry lies in `folder`.

    Args:
        context: gives the project's name.
        folder: registry and relative stores.
        online: Feast's `online_store`, from `online_config`; None for a store that only joins.
    """
    from feast import FeatureStore, RepoConfig

    return FeatureStore(
        config=RepoConfig(
            project=project_name(context),
            provider="local",
            registry={"registry_type": "file", "path": str(folder / "registry.db"), "cache_ttl_seconds": 0},
            offline_store={"type": "carrental_mlops.integrations.feast_asof.AsOfOfflineStore"},
            online_store=online,
            entity_key_serialization_version=3,
            repo_path=context.root,
        )
    )


def online_config(folder: Path, url: str | None = None) -> dict[str, Any]:
    """Feast's `online_store` section: Redis at $CRM_REDIS_URL or `url`, otherwise SQLite in `folder`.

    Redis writes without Feast's timestamp check, which silently drops a corrected value of the same day.

    Raises:
        ConfigError: the URL is not one of Redis, or its password holds a comma, which Feast cannot pass on.
    """
    url = online_url(url)
    if not url:
        return {"type": "sqlite", "path": str(folder / "online.db")}
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or "," in unquote(parts.password or ""):
        raise ConfigError(
            f"{REDIS_URL} is `{shown_url(url)}`", "write it as redis://user:password@host:6379/0, no comma in it"
        )
    settings = {
        "db": parts.path.strip("/") or "0",
        "username": parts.username,
        "password": f'"{unquote(parts.password)}"' if parts.password else None,
        "ssl": "true" if parts.scheme == "rediss" else None,
    }
    said = [f"{parts.hostname}:{parts.port or 6379}", *(f"{k}={v}" for k, v in settings.items() if v is not None)]
    return {"type": "redis", "connection_string": ",".join(said), "skip_dedup": True}


def write_tables(folder: Path, feature_set: Features, tables: Mapping[str, pd.DataFrame]) -> None:
    """Each history's table as `<folder>/<view>.parquet`, whole or not at all.

    Raises:
        DataError: a table, its key, its timestamp or a feature is missing.
    """
    for h in feature_set.history:
        if h.view not in tables:
            raise DataError(f"Feast: no table for view `{h.view}`, found {sorted(tables)}", "crm run features")
        wanted = [h.entity, TIMESTAMP, *h.features()]
        table = tables[h.view]
        if missing := [name for name in wanted if name not in table.columns]:
            raise DataError(
                f"Feast: view `{h.view}` lacks {missing}, found {list(table.columns)}",
                "aggregate again after an edit of `history` in features.py: crm run features",
            )
        table = table[wanted]
        write_parquet(table.astype({h.entity: "string"}) if table.empty else table, folder / f"{h.view}.parquet")


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """`table` at `path`, whole or not at all.

    Raises:
        PlatformError: it cannot be written.
    """
    with whole_file(path) as draft:
        table.to_parquet(draft, index=False)


def apply(store: FeatureStore, folder: Path, feature_set: Features, views: Iterable[Any] | None, root: Path) -> None:
    """Registers `views` (default: `history_views`), their relative paths bound to `root`, histories to `folder`."""
    from feast import FeatureView

    own = {h.view for h in feature_set.history}
    objects = {(type(o).__name__, o.name): copy.deepcopy(o) for o in [*history_views(feature_set), *(views or ())]}
    for thing in objects.values():
        source = thing.batch_source if isinstance(thing, FeatureView) else thing
        options = getattr(source, "file_options", None)
        if options is None:
            continue
        if isinstance(thing, FeatureView) and thing.name in own:
            options.uri = str(folder / f"{thing.name}.parquet")
        elif "://" not in options.uri:
            options.uri = str(root / options.uri)
    store.apply(list(objects.values()))
