"""What lies in `.crm/`: digests of folders, a lock between processes, databases that survive a moved repo."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from carrental_mlops.errors import PlatformError

_PATH_COLUMNS = frozenset({"artifact_location", "artifact_uri", "source", "storage_location", "uri", "configuration"})


def file_digest(path: Path) -> str:
    """sha256 (hex) of the bytes of `path`, read in bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """sha256 (hex) over the relative name and content of every file below `folder`; equal on every machine."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return whole.hexdigest()


@contextmanager
def locked(path: Path, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold the lock file `path` against every other process; the kernel frees it when the holder is killed.

    Raises:
        PlatformError: another process held it for longer than `timeout_s`; retryable.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise PlatformError(
                        f"{path}: held by another process for {timeout_s:.0f} s",
                        "wait for the other `crm` command to end, then repeat this one",
                        retryable=True,
                    ) from error
                time.sleep(0.05)
        yield


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
