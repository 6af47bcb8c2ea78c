"""Databases in `.crm/` that survive a moved repo."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from carrental_mlops.files import locked

_PATH_COLUMNS = frozenset({"artifact_location", "artifact_uri", "source", "storage_location", "uri", "configuration"})


def repoint(database: Path, folder: Path) -> Path | None:
    """Make the absolute paths that an SQLite `database` holds follow `folder`, the place it lies in now.

    The place it was last used from stands in `<database>.at`; nothing is done where that did not change.

    Returns:
        The former folder when the repo was moved or copied, else None.
    """
    marker, here = database.with_name(database.name + ".at"), str(folder.resolve())
    before = marker.read_text(encoding="utf-8").strip() if marker.is_file() else ""
    if before == here:
        return None
    if before and database.is_file():
        with (
            locked(database.with_name(database.name + ".lock")),
            closing(sqlite3.connect(database, timeout=60)) as store,
        ):
            _replace_paths(store, before, here)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(here + "\n", encoding="utf-8")
    return Path(before) if before else None


def _replace_paths(store: sqlite3.Connection, before: str, here: str) -> None:
    tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = {row[1] for row in store.execute(f'PRAGMA table_info("{table}")')} & _PATH_COLUMNS
        for column in columns:
            for old, new in {before: here, quote(before): quote(here)}.items():
                statement = (
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?) > 0'  # noqa: S608 - names come from the schema
                )
                store.execute(statement, (old, new, old))
    store.commit()
