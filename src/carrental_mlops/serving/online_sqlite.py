"""Stored features from the SQLite file that Feast fills on one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.online_view import OnlineView, Row, number_of


class SqliteStore:
    """Read in the event loop, for a read takes some 20 µs.

    Args:
        path: of the file.
        wait_s: how long a read waits while Feast writes (seconds).
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        self._path, self._wait_s = path, wait_s

    async def start(self) -> None:
        """Open for reading alone."""
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            self._database = sqlite3.connect(address, uri=True, timeout=self._wait_s, check_same_thread=False)
        except sqlite3.Error as error:
            raise PlatformError(f"{self._path}: {error}", "crm run features") from error

    async def stop(self) -> None:
        """Close."""
        self._database.close()

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[Any]]]) -> list[list[Row | None]]:
        """One query an entity."""
        return [[self._row(view, view.key(identity)) for identity in ids] for view, ids in asked]

    def _row(self, view: OnlineView, key: bytes) -> Row | None:
        query = f'SELECT feature_name, value, event_ts FROM "{view.table}" WHERE entity_key = ?'  # noqa: S608
        found = self._database.execute(query, (key,)).fetchall()
        if not found:
            return None
        values = {name: value for name, value, _ in found}
        return [number_of(values.get(name)) for name in view.features], _seconds(found[0][2])


def _seconds(stamp: Any) -> float:
    """Feast writes UTC as if it were local time; as text where another library took over sqlite3's adapters."""
    if isinstance(stamp, str):
        return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    return datetime.fromtimestamp(float(stamp)).replace(tzinfo=UTC).timestamp()
