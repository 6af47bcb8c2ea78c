"""Stored features by entity id, read from Feast's online store without Feast.

Feast's keys are no public interface. So the features pipeline describes them in a manifest (`OnlineView`), made with
Feast's own functions, and proves after each materialisation that this reader returns what Feast's own call returns.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.core.arrays import Floats
from carrental_mlops.errors import DataError, PlatformError
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.telemetry import Metrics

log = logging.getLogger("carrental_mlops.serving.online")

Row = tuple[Sequence[bytes | None], float]
"""Values of one entity as stored, in the order of the view's features, and when it was taken (seconds since 1970)."""


@dataclass(frozen=True)
class OnlineView:
    """Where one feature view lies in the online store."""

    view: str
    entity: str
    """Request field that holds the id."""
    features: tuple[str, ...]
    zero: tuple[str, ...]
    """Features that are 0 for an entity without a snapshot; the others are NaN."""
    text: bool
    """True where the id is text, False where it is an INT64."""
    head: bytes
    """Of the key, up to the id."""
    tail: bytes
    """Of a Redis key, after the id."""
    fields: tuple[bytes, ...]
    """Of the Redis hash: one a feature, then the timestamp."""
    table: str
    """SQLite table."""

    def key(self, identity: Any) -> bytes:
        """The entity's key."""
        if self.text:
            encoded = str(identity).encode()
            return self.head + _LENGTH.pack(len(encoded)) + encoded
        return self.head + _INT64.pack(identity)

    def to_json(self) -> dict[str, Any]:
        """The view as the manifest holds it."""
        plain = {"view": self.view, "entity": self.entity, "features": self.features, "zero": self.zero}
        stored = {"head": self.head.hex(), "tail": self.tail.hex(), "fields": [f.hex() for f in self.fields]}
        return {**plain, "text": self.text, "table": self.table, **stored}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> OnlineView:
        """The view that `to_json` wrote.

        Raises:
            DataError: a part is missing.
        """
        try:
            return cls(
                view=told["view"],
                entity=told["entity"],
                features=tuple(told["features"]),
                zero=tuple(told["zero"]),
                text=told["text"],
                head=bytes.fromhex(told["head"]),
                tail=bytes.fromhex(told["tail"]),
                fields=tuple(map(bytes.fromhex, told["fields"])),
                table=told["table"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the manifest of the online store is incomplete: {error!r}", "crm run features") from None


class Store(Protocol):
    """An online store that can be asked for many entities at once."""

    async def start(self) -> None:
        """Connect.

        Raises:
            PlatformError: it does not answer.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[bytes]]]) -> list[list[Row | None]]:
        """For each view and each of its keys, the row, None where there is none."""
        ...


class RedisStore:
    """Redis as Feast fills it.

    Args:
        url: `redis://…` or `rediss://…`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        """Connect and ask once."""
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        connect: Any = Redis.from_url
        self._redis = connect(self._url, socket_connect_timeout=2, socket_timeout=2)
        try:
            await self._redis.ping()
        except RedisError as error:
            raise PlatformError("the online store does not answer", "check its URL and that it runs", True) from error

    async def stop(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[bytes]]]) -> list[list[Row | None]]:
        """One round trip for all."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for view, keys in asked:
                for key in keys:
                    pipe.hmget(key + view.tail, view.fields)
            replies = iter(await pipe.execute())
        return [[_redis_row(next(replies)) for _ in keys] for _, keys in asked]


class SqliteStore:
    """The SQLite file that Feast fills; read in the loop, for a read takes some 20 µs.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def start(self) -> None:
        """Open for reading alone."""
        try:
            self._database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=1)
        except sqlite3.Error as error:
            raise PlatformError(f"{self._path}: {error}", "crm run features", True) from error

    async def stop(self) -> None:
        """Close."""
        self._database.close()

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[bytes]]]) -> list[list[Row | None]]:
        """One query a key."""
        return [[self._row(view, key) for key in keys] for view, keys in asked]

    def _row(self, view: OnlineView, key: bytes) -> Row | None:
        query = f'SELECT feature_name, value, event_ts FROM "{view.table}" WHERE entity_key = ?'  # noqa: S608
        found = self._database.execute(query, (key,)).fetchall()
        if not found:
            return None
        values = {name: value for name, value, _ in found}
        return [values.get(name) for name in view.features], float(found[0][2])


class OnlineReader:
    """Stored features of a request, within a budget, with a policy for what is stale or not there.

    Args:
        store: where they are.
        views: how they lie there.
        policy: budget, age and what to do.
        metrics: counts ages, unknown entities and late reads.
    """

    def __init__(self, store: Store, views: Sequence[OnlineView], policy: OnlineFeatures, metrics: Metrics) -> None:
        self._store, self._views, self._policy, self._metrics = store, tuple(views), policy, metrics
        self._names = {v.view: tuple(f"{v.view}__{name}" for name in v.features) for v in self._views}

    async def start(self) -> None:
        """Connect."""
        await self._store.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._store.stop()

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """The stored features of `rows` rows; an unknown or missing entity has counts of 0 and NaN.

        Raises:
            Refusal: 422 an id that no key can hold; 503 where the policy refuses.
        """
        ids = [values.get(view.entity) or [None] * rows for view in self._views]
        keys = [self._keys(view, of) for view, of in zip(self._views, ids, strict=True)]
        try:
            async with asyncio.timeout(self._policy.budget_ms / 1e3):
                found = await self._store.fetch(
                    [(view, list(of.values())) for view, of in zip(self._views, keys, strict=True)]
                )
        except Exception as error:  # whatever the store does, the policy decides what the caller gets
            self._metrics.late.inc()
            log.warning("stored features were not read: %s", type(error).__name__)
            return self._without(rows)
        columns: dict[str, Floats] = {}
        ages: dict[str, float] = {}
        flags: list[str] = []
        now = time.time()
        for view, of, asked, replies in zip(self._views, ids, keys, found, strict=True):
            known = dict(zip(asked, replies, strict=True))
            table, age, flag = self._table(view, [known.get(identity) for identity in of], now)
            columns.update(zip(self._names[view.view], table.T, strict=True))
            ages[view.view] = age
            flags += flag
        return Stored(columns, ages, tuple(flags))

    def _keys(self, view: OnlineView, ids: Sequence[Any]) -> dict[Any, bytes]:
        try:
            return {identity: view.key(identity) for identity in ids if identity is not None}
        except struct.error:
            raise Refusal(422, f"field `{view.entity}` wants an INT64", view.entity) from None

    def _table(self, view: OnlineView, found: list[Row | None], now: float) -> tuple[Floats, float, list[str]]:
        """(n, features), the age of the oldest row (seconds), and what was not as it should be."""
        unknown = found.count(None)
        oldest = min((row[1] for row in found if row is not None), default=float("nan"))
        age, flags = now - oldest, []
        if unknown:
            self._metrics.unknown_of(view.view).inc(unknown)
            flags.append(f"unknown:{view.view}")
        if unknown < len(found):
            self._metrics.age_of(view.view).observe(age)
        if age > self._policy.stale_after_hours * 3600:
            self._hold(f"the stored features of `{view.view}` are stale")
            flags.append(f"stale:{view.view}")
            if self._policy.when_stale == "fallback":
                limit = now - self._policy.stale_after_hours * 3600
                found = [row if row is not None and row[1] >= limit else None for row in found]
        empty = _empty(view)
        return np.array([empty if row is None else _numbers(view, row[0]) for row in found]), age, flags

    def _without(self, rows: int) -> Stored:
        self._hold("the stored features cannot be read")
        columns: dict[str, Floats] = {}
        for view in self._views:
            columns.update(zip(self._names[view.view], np.tile(_empty(view), (rows, 1)).T, strict=True))
        return Stored(columns, {}, ("late",))

    def _hold(self, what: str) -> None:
        if self._policy.when_stale == "refuse":
            raise Refusal(503, what)


_LENGTH, _INT64 = struct.Struct("<I"), struct.Struct("<q")
_double = struct.Struct("<d").unpack_from
_float = struct.Struct("<f").unpack_from


def _empty(view: OnlineView) -> list[float]:
    return [0.0 if name in view.zero else float("nan") for name in view.features]


def _numbers(view: OnlineView, stored: Sequence[bytes | None]) -> list[float]:
    return [
        number if (number := _number(value)) == number else (0.0 if name in view.zero else number)
        for name, value in zip(view.features, stored, strict=True)
    ]


def _number(value: bytes | None) -> float:
    """A `feast.types.Value` in protobuf's wire form; NaN where it holds none.

    Raises:
        ValueError: it is no number.
    """
    if not value:
        return float("nan")
    tag = value[0]
    if tag == 0x29 and len(value) == 9:  # double_val = 5, fixed 64 bit
        return float(_double(value, 1)[0])
    if tag == 0x35 and len(value) == 5:  # float_val = 6, fixed 32 bit
        return float(_float(value, 1)[0])
    if tag in (0x18, 0x20, 0x38):  # int32_val = 3, int64_val = 4, bool_val = 7: varint
        number = sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(value[1:]))
        return float(number - (1 << 64) if number >> 63 else number)
    if tag == 0x90:  # null_val = 18
        return float("nan")
    raise ValueError("a stored feature is not a number")


def _redis_row(reply: Sequence[bytes | None]) -> Row | None:
    *values, stamp = reply
    return None if stamp is None else (values, _seconds(stamp))


def _seconds(stamp: bytes) -> float:
    """A `google.protobuf.Timestamp`: seconds = 1, nanos = 2, both varint."""
    read = {0x08: 0, 0x10: 0}
    at = 0
    while at < len(stamp):
        tag, number, shift = stamp[at], 0, 0
        at += 1
        while True:
            byte = stamp[at]
            number |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        read[tag] = number
    return read[0x08] + read[0x10] / 1e9


def open_reader(
    root: Path, manifest: Mapping[str, Any], policy: OnlineFeatures, redis_url: str | None, metrics: Metrics
) -> OnlineReader:
    """The reader of the store that `manifest` describes.

    Args:
        root: of the repo, where the SQLite file lies.
        manifest: as the features pipeline wrote it: `kind`, `views`, and for SQLite `path`.
        policy: budget, age and what to do.
        redis_url: of the store, where it is Redis.
        metrics: counts ages, unknown entities and late reads.

    Raises:
        DataError: the manifest is incomplete.
    """
    views = [OnlineView.from_json(view) for view in manifest.get("views", ())]
    store: Store = RedisStore(redis_url) if redis_url else SqliteStore(root / manifest.get("path", ""))
    return OnlineReader(store, views, policy, metrics)
