"""Proof, after each materialisation, that the service's own way of reading stored features is Feast's."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.config.variables import online_url
from carrental_mlops.core import Context
from carrental_mlops.data.aggregate import FeatureTables
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.errors import DataError

_SAMPLE = 500
"""Entities of each view that are read both ways, beside one that does not exist."""


def prove_online(
    context: Context, feature_set: type[FeatureSet], tables: FeatureTables, redis_url: str | None = None
) -> None:
    """Reads a sample of entities by Feast and by the service's reader; writes the reader's manifest once they agree.

    Args:
        context: the run; its root gets `.crm/feast/online.json`.
        feature_set: names the stored features.
        tables: snapshots that were materialised; the sample's entities are drawn from them.
        redis_url: `feast.online` of crm.yaml.

    Raises:
        DataError: they differ; names the feature and the number of entities, and the old manifest stays.
        PlatformError: the online store does not answer.
    """
    from carrental_mlops.integrations.feast import read_online
    from carrental_mlops.integrations.feast_manifest import online_manifest, write_manifest

    manifest = online_manifest(context, feature_set, redis_url)
    entities = _sample(context, feature_set, tables, manifest)
    if entities:
        rows = len(next(iter(entities.values())))
        by_feast = read_online(context, feature_set, entities, redis_url)
        ours = asyncio.run(_read(context, manifest, entities, rows, redis_url))
        for name, wanted in by_feast.items():
            differs = ~((ours[name] == wanted) | (np.isnan(ours[name]) & np.isnan(wanted)))
            if differs.any():
                raise DataError(
                    f"`{name}` read by the service differs from Feast's for {int(differs.sum())} of {rows} entities",
                    "serve with serving.features.source: request until the package supports this version of Feast",
                )
    write_manifest(context, manifest)


def _sample(
    context: Context, feature_set: type[FeatureSet], tables: FeatureTables, manifest: dict[str, Any]
) -> dict[str, list[Any]]:
    """Entity to ids, all of one length."""
    rng = np.random.default_rng(context.seed)
    found: dict[str, list[Any]] = {}
    for history in feature_set.history:
        known = tables.tables[history.view][history.entity].dropna().unique()
        if history.entity not in found and len(known):
            found[history.entity] = rng.choice(known, _SAMPLE).tolist()
    for view in manifest["views"]:
        unknown: Any = "no such id" if view["text"] else -(2**62)
        found.setdefault(view["entity"], [unknown] * _SAMPLE).append(unknown)
    longest = max((len(ids) for ids in found.values()), default=0)
    return {entity: ids + ids[-1:] * (longest - len(ids)) for entity, ids in found.items()}


async def _read(
    context: Context, manifest: dict[str, Any], entities: dict[str, list[Any]], rows: int, redis_url: str | None
) -> Any:
    from carrental_mlops.serving.online import open_reader
    from carrental_mlops.serving.telemetry import Metrics

    policy = OnlineFeatures(budget_ms=60_000, stale_after_hours=10**9, when_stale="refuse")
    reader = open_reader(context.root, manifest, policy, online_url(redis_url), Metrics(context.service, "", ""))
    await reader.start()
    try:
        return (await reader.read(entities, rows)).columns
    finally:
        await reader.stop()
