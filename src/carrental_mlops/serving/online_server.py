"""Stored features from Feast's own feature server (`feast serve`), over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.serving.online_view import OnlineView, Row

_THREADS = 16
"""Questions under way at once; more wait, within their budget."""


class FeastServerStore:
    """One POST an entity (join key) and request, over connections that are kept.

    Args:
        url: of the server, such as `http://feast:6566`.
        wait_s: longest wait for its answer (seconds); then the thread is free again.

    Raises:
        ConfigError: the URL is not one.
    """

    def __init__(self, url: str, wait_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("serving.features.feast_url is no URL", "write it as http://host:6566")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/get-online-features"
        self._health = f"{parts.path.rstrip('/')}/health"
        self._wait_s = wait_s
        self._threads = ThreadPoolExecutor(_THREADS, "feast")
        self._mine = threading.local()

    async def start(self) -> None:
        """Ask for its health."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, "GET", self._health, None)
        except (OSError, http.client.HTTPException) as error:
            raise PlatformError(
                "Feast's feature server does not answer", "check serving.features.feast_url and that it runs", True
            ) from error

    async def stop(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[Any]]]) -> list[list[Row | None]]:
        """One question for all views of one entity."""
        loop = asyncio.get_running_loop()
        groups: dict[tuple[str, tuple[Any, ...]], list[int]] = {}
        for place, (view, ids) in enumerate(asked):
            for identity in ids:
                view.key(identity)
            groups.setdefault((view.entity, tuple(ids)), []).append(place)
        found: list[list[Row | None]] = [[] for _ in asked]
        questions = [
            loop.run_in_executor(self._threads, self._rows, [asked[place][0] for place in places], ids)
            for (_, ids), places in groups.items()
            if ids
        ]
        answers = await asyncio.gather(*questions)
        for places, rows in zip((p for (_, ids), p in groups.items() if ids), answers, strict=True):
            for place, of in zip(places, rows, strict=True):
                found[place] = of
        return found

    def _rows(self, views: Sequence[OnlineView], ids: Sequence[Any]) -> list[list[Row | None]]:
        """Of each view, one row an id; in a thread."""
        features = [f"{view.view}:{name}" for view in views for name in view.features]
        sent = [str(identity) for identity in ids] if views[0].text else ids
        body = {"features": features, "entities": {views[0].entity: sent}, "full_feature_names": True}
        answer = json.loads(self._ask("POST", self._path, json.dumps(body).encode()))
        results = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
        return [list(_rows_of(view, results, len(ids))) for view in views]

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        for connection in filter(None, (kept, self._connection())):
            try:
                connection.request(method, path, body, {"content-type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                if connection is kept:
                    continue  # the server closed it meanwhile
                raise
            except BaseException:
                connection.close()
                self._mine.connection = None
                raise
            if reply.status != 200:
                raise http.client.HTTPException(f"Feast's feature server answers {reply.status}")
            self._mine.connection = connection
            return content
        raise AssertionError

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._wait_s)


def _rows_of(view: OnlineView, results: dict[str, Any], n: int) -> Iterator[Row | None]:
    columns = [results[f"{view.view}__{name}"] for name in view.features]
    for row in range(n):
        if all(column["statuses"][row] == "NOT_FOUND" for column in columns):
            yield None
        else:
            seconds = _seconds(columns[0]["event_timestamps"][row])
            yield [_number(column["values"][row]) for column in columns], seconds


def _number(value: Any) -> float:
    """Raises ValueError where it is none."""
    if value is None:
        return float("nan")
    if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        raise ValueError("a stored feature is not a number")
    return float(value)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
