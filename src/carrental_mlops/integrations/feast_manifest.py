"""How stored features lie in the online store, said by Feast's own functions, for a service that has no Feast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file
from carrental_mlops.integrations.feast_store import (
    Features,
    feast_folder,
    online_config,
    open_store,
    project_name,
    quiet,
)

if TYPE_CHECKING:
    from carrental_mlops.core.context import Context

MANIFEST = "online.json"


def online_manifest(context: Context, feature_set: Features, redis_url: str | None = None) -> dict[str, Any]:
    """What `serving.online.OnlineView.from_json` reads of each view of `feature_set`, and where the SQLite file lies.

    Args:
        context: gives repo and service.
        feature_set: names the stored features.
        redis_url: of the online store, None for SQLite.

    Raises:
        DataError: a view has several join keys, or one that is neither INT64 nor text.
    """
    features: dict[str, list[str]] = {}
    for reference in feature_set.references():
        view, _, name = reference.partition(":")
        features.setdefault(view, []).append(name)
    counted = {(h.view, f) for h in feature_set.history for f in h.features() if f.startswith("count_")}
    folder = feast_folder(context)
    with quiet():
        store = open_store(context, folder, online_config(folder, redis_url))
        views = [
            _described(
                store.get_feature_view(view), project_name(context), names, [n for n in names if (view, n) in counted]
            )
            for view, names in features.items()
        ]
    return {"path": (folder / "online.db").relative_to(context.root).as_posix(), "views": views}


def write_manifest(context: Context, manifest: dict[str, Any]) -> Path:
    """The manifest beside the feature tables, where `crm serve` finds it."""
    path = feast_folder(context) / MANIFEST
    with whole_file(path) as draft:
        draft.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return path


def _described(view: Any, project: str, names: list[str], zero: list[str]) -> dict[str, Any]:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.infra.online_stores.helpers import _mmh3, compute_table_id
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    kinds = {column.name: str(column.dtype) for column in view.entity_columns}
    if len(view.join_keys) != 1 or kinds.get(view.join_keys[0]) not in ("Int64", "String"):
        raise DataError(
            f"view `{view.name}` is read by {kinds}: the service reads views by one key, INT64 or text",
            "give the view one such key, or let callers send its features: serving.features.source: request",
        )
    key = view.join_keys[0]
    text = kinds[key] == "String"
    value, width = (Value(string_val=""), 4) if text else (Value(int64_val=0), 8)
    empty = serialize_entity_key(EntityKey(join_keys=[key], entity_values=[value]), 3)
    fields = [*(_mmh3(f"{view.name}:{name}") for name in names), f"_ts:{view.name}".encode()]
    return {
        "view": view.name,
        "entity": key,
        "features": names,
        "zero": zero,
        "text": text,
        "head": empty[:-width].hex(),
        "tail": project.encode().hex(),
        "fields": [field.hex() for field in fields],
        "table": compute_table_id(project, view),
    }
