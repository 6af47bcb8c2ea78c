"""Stored features by entity id: a budget, and a policy for what is stale or not there, around an online store.

`online_view` says how they lie there; `online_redis`, `online_sqlite` and `online_server` read them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.online_view import OnlineView, Row, Store
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.traceparent import CURRENT, Part

log = logging.getLogger("carrental_mlops.serving.online")


class OnlineReader:
    """Stored features of a request, within a budget, with a policy for what is stale or not there.

    Args:
        store: where they are.
        views: how they lie there.
        policy: budget, age and what to do.
        metrics: counts ages, unknown entities and late reads.
    """

    def __init__(self, store: Store, views: Sequence[OnlineView], policy: OnlineFeatures, metrics: Metrics) -> None:
        self._store, self._policy, self._metrics = store, policy, metrics
        self._views = [_Known(view, metrics) for view in views]
        self._waited = metrics.stage("features")
        self._told = (("crm.feature_view", tuple(view.view for view in views)),)
        self._limit_s = policy.stale_after_hours * 3600
        self._said = float("-inf")

    async def start(self) -> None:
        """Connect. A store that may answer later does not keep the service from starting, unless the policy refuses.

        Raises:
            PlatformError: it does not answer.
        """
        try:
            await self._store.start()
        except PlatformError as error:
            if not error.retryable or self._policy.when_stale == "refuse":
                raise
            log.warning("starts without stored features: %s", error)

    async def stop(self) -> None:
        """Disconnect."""
        await self._store.stop()

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """The stored features of `rows` rows; an unknown or missing entity has counts of 0 and NaN.

        Raises:
            Refusal: 422 an id that no key can hold; 503 where the policy refuses.
        """
        ids = [values.get(known.view.entity) or [None] * rows for known in self._views]
        asked = [[identity for identity in dict.fromkeys(of) if identity is not None] for of in ids]
        questions = [(known.view, distinct) for known, distinct in zip(self._views, asked, strict=True)]
        begun, began, failed = time.perf_counter(), time.time_ns(), True
        try:
            async with asyncio.timeout(self._policy.budget_ms / 1e3):
                found = await self._store.fetch(questions)
            failed = False
        except Refusal:
            raise
        except Exception as error:  # whatever the store does, the policy decides what the caller gets
            self._failed(error)
            self._hold("the stored features cannot be read")
            return self._without(rows)
        finally:
            self._waited.inc(time.perf_counter() - begun)
            if traced := CURRENT.get():
                traced.parts.append(Part("read features", began, time.time_ns(), self._told, failed))
        columns: dict[str, Floats] = {}
        ages: dict[str, float] = {}
        flags: list[str] = []
        now = time.time()
        for known, of, distinct, replies in zip(self._views, ids, asked, found, strict=True):
            rows_of = dict(zip(distinct, replies, strict=True))
            table, age = self._table(known, [rows_of.get(identity) for identity in of], now, flags)
            columns.update(zip(known.names, table.T, strict=True))
            ages[known.view.view] = age
        return Stored(columns, ages, tuple(flags))

    def _table(self, known: _Known, found: list[Row | None], now: float, flags: list[str]) -> tuple[Floats, float]:
        """(n, features) and the age of the oldest row (seconds); what is not as it should be is added to `flags`."""
        unknown = found.count(None)
        age = now - min([row[1] for row in found if row is not None], default=_NAN)
        if unknown:
            known.unknown.inc(unknown)
            flags.append(f"unknown:{known.view.view}")
        if unknown < len(found):
            known.age.observe(age)
        if age > self._limit_s:
            self._hold(f"the stored features of `{known.view.view}` are stale")
            flags.append(f"stale:{known.view.view}")
            if self._policy.when_stale == "fallback":
                found = [row if row is not None and now - row[1] <= self._limit_s else None for row in found]
        table = np.array([known.empty if row is None else row[0] for row in found])
        if known.zero:
            zeros = table[:, known.zero]
            table[:, known.zero] = np.where(np.isnan(zeros), 0.0, zeros)
        return table, age

    def _without(self, rows: int) -> Stored:
        columns: dict[str, Floats] = {}
        for known in self._views:
            columns.update(zip(known.names, np.tile(known.empty, (rows, 1)).T, strict=True))
        return Stored(columns, {}, ("late",))

    def _failed(self, error: Exception) -> None:
        self._metrics.late.inc()
        now = time.monotonic()
        if now - self._said >= 1:
            self._said = now
            log.warning("stored features were not read: %s", type(error).__name__)

    def _hold(self, what: str) -> None:
        if self._policy.when_stale == "refuse":
            raise Refusal(503, what, cause="features")


class _Known:
    """A view, and what each request needs of it."""

    def __init__(self, view: OnlineView, metrics: Metrics) -> None:
        self.view = view
        self.names = tuple(f"{view.view}__{name}" for name in view.features)
        self.zero = [place for place, name in enumerate(view.features) if name in view.zero]
        self.empty = [0.0 if name in view.zero else _NAN for name in view.features]
        self.age, self.unknown = metrics.age_of(view.view), metrics.unknown_of(view.view)


_NAN = float("nan")


def open_reader(
    root: Path, manifest: Mapping[str, Any], policy: OnlineFeatures, redis_url: str | None, metrics: Metrics
) -> OnlineReader:
    """The reader of the store that `manifest` describes, or of Feast's own server where `policy` names it.

    Args:
        root: of the repo, where the SQLite file lies.
        manifest: as the features pipeline wrote it: `views`, and `path` of the SQLite file.
        policy: source, budget, age and what to do.
        redis_url: of the store, where it is Redis.
        metrics: counts ages, unknown entities and late reads.

    Raises:
        DataError: the manifest is incomplete.
        ConfigError: a URL is not one.
    """
    views = [OnlineView.from_json(view) for view in manifest.get("views", ())]
    return OnlineReader(_store(root, manifest, policy, redis_url), views, policy, metrics)


def _store(root: Path, manifest: Mapping[str, Any], policy: OnlineFeatures, redis_url: str | None) -> Store:
    wait_s = policy.budget_ms / 1e3
    if policy.source == "server":
        from carrental_mlops.serving.online_server import FeastServerStore

        return FeastServerStore(policy.feast_url or "", wait_s)
    if redis_url:
        from carrental_mlops.serving.online_redis import RedisStore

        return RedisStore(redis_url)
    from carrental_mlops.serving.online_sqlite import SqliteStore

    return SqliteStore(root / manifest.get("path", ""), wait_s)
