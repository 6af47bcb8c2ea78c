"""Stored features from the Redis that Feast fills: one connection, requests of one loop turn in one write.

A client of our own over the parser hiredis, for redis.asyncio takes ten times its CPU (benchmarks/serving_online.py).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.online_view import OnlineView, Row, number_of, seconds_of

log = logging.getLogger("carrental_mlops.serving.online")

_CONNECT_S = 2.0
"""Longest wait for a new connection and its log-in."""
_PAUSE_S = 0.2
"""Between an attempt to connect that failed and the next one."""
_SILENCE_S = 1.0
"""A connection that owes answers and sent nothing for this long is given up."""

Command = tuple[bytes | str, ...]


class RedisStore:
    """Redis as Feast fills it. Connects again by itself.

    Args:
        url: `redis://user:password@host:port/db`, or `rediss://` for TLS.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "localhost", parts.port or 6379
        self._tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        self._login: list[Command] = []
        if parts.password:
            self._login.append(("AUTH", *map(unquote, filter(None, (parts.username, parts.password)))))
        self._login.append(("SELECT", parts.path.strip("/") or "0"))
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._not_before = 0.0

    async def start(self) -> None:
        """Connect and log in."""
        try:
            await self._connected()
        except (OSError, ssl.SSLError) as error:
            raise PlatformError("the online store does not answer", "check its URL and that it runs", True) from error
        except hiredis.ReplyError as error:
            raise PlatformError(
                f"the online store answers: {error}",
                "check user, password and number in its URL",
                str(error).startswith(("LOADING", "BUSY")),
            ) from error

    async def stop(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[Any]]]) -> list[list[Row | None]]:
        """One round trip for all."""
        commands: list[Command] = [
            ("HMGET", view.key(identity) + view.tail, *view.fields) for view, ids in asked for identity in ids
        ]
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connected()
        replies = iter(await connection.ask(commands))
        try:
            return [[_row(next(replies), len(view.fields)) for _ in ids] for view, ids in asked]
        except hiredis.ProtocolError:
            connection.close()  # the replies that come next could be another entity's
            raise

    async def _connected(self) -> _Connection:
        """The new connection; those that wait for it share one attempt, which none of them ends by giving up."""
        if self._connecting is None:
            if time.monotonic() < self._not_before:
                raise ConnectionError("the online store did not answer a moment ago")
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._attempted)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        async with asyncio.timeout(_CONNECT_S):
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, *self._address, ssl=self._tls)
            try:
                for reply in await connection.ask(self._login):
                    if isinstance(reply, Exception):
                        raise reply
            except BaseException:
                connection.close()
                raise
        return connection

    def _attempted(self, task: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if task.cancelled():
            return
        if error := task.exception():
            self._not_before = time.monotonic() + _PAUSE_S
            log.warning("no connection to the online store: %s", type(error).__name__)
        else:
            self._connection = task.result()


class _Connection(asyncio.Protocol):
    """Commands in, replies in the same order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._owed: deque[_Owed] = deque()
        self._unsent: list[bytes] = []
        self._heard = 0.0
        self.lost = False

    def ask(self, commands: Iterable[Command]) -> asyncio.Future[list[Any]]:
        """One reply a command; a refusal by Redis is a reply, an exception that is returned."""
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # any length
        owed = _Owed(self._loop.create_future(), len(packed))
        now = time.monotonic()
        if self._owed and now - self._heard > _SILENCE_S:
            self.close()
        if self.lost:
            owed.answer.set_exception(ConnectionError("the connection to the online store is lost"))
        elif not packed:
            owed.answer.set_result([])
        else:
            if not self._owed:
                self._heard = now
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent += packed
            self._owed.append(owed)
        return owed.answer

    def close(self) -> None:
        """Give the connection up; who waits is told."""
        self.lost = True
        self._transport.abort()
        self._tell()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._heard = time.monotonic()
        try:
            self._reader.feed(data)
            for reply in _parsed(self._reader):
                owed = self._owed[0]
                owed.replies.append(reply)
                if len(owed.replies) == owed.count:
                    self._owed.popleft()
                    if not owed.answer.done():
                        owed.answer.set_result(owed.replies)
        except (hiredis.ProtocolError, IndexError):  # no RESP, or a reply that nobody asked for
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self.lost = True
        self._tell()

    def _send(self) -> None:
        if not self.lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _tell(self) -> None:
        while self._owed:
            answer = self._owed.popleft().answer
            if not answer.done():
                answer.set_exception(ConnectionError("the connection to the online store is lost"))


class _Owed:
    __slots__ = ("answer", "count", "replies")

    def __init__(self, answer: asyncio.Future[list[Any]], count: int) -> None:
        self.answer, self.count, self.replies = answer, count, list[Any]()


def _parsed(reader: hiredis.Reader) -> Iterator[Any]:
    while (reply := reader.gets()) is not False:
        yield reply


def _row(reply: Any, width: int) -> Row | None:
    if isinstance(reply, hiredis.ReplyError):
        raise ConnectionError(str(reply).partition(" ")[0])
    if type(reply) is not list or len(reply) != width or not all(v is None or type(v) is bytes for v in reply):
        raise hiredis.ProtocolError("no values of a hash")
    stamp = reply.pop()
    return None if stamp is None else ([number_of(value) for value in reply], seconds_of(stamp))
