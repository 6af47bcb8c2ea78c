"""Many files read by threads, in their order, a bounded number of bytes at a time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carrental_mlops.data.sources.formats import EXPECTED, format_of, table_of
from carrental_mlops.errors import CrmError
from carrental_mlops.files import file_digest
from carrental_mlops.integrations.source_files import Files, ListedFile

if TYPE_CHECKING:
    import pyarrow as pa

_THREADS = 8
_GROUP_FILES, _GROUP_BYTES = 64, 4 << 20
"""One thread takes as many files at a time; what is larger goes alone, from disk and not through memory."""


@dataclass(frozen=True)
class Loaded:
    """One file: its rows, or why it has none."""

    entry: ListedFile
    digest: str = ""
    table: pa.Table = None
    problem: str = ""
    """What was expected and what was found; then there is no table."""


def loaded(files: Files, entries: list[ListedFile]) -> Iterator[Loaded]:
    """Each of `entries` in order; at most `2 * _THREADS` groups are held.

    Raises:
        PlatformError, DataError: the place itself does not answer.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="crm-ingest")
    under_way: deque[Future[list[Loaded]]] = deque()
    try:
        for group in _groups(entries):
            under_way.append(pool.submit(_load, files, group))
            if len(under_way) >= 2 * _THREADS:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _groups(entries: list[ListedFile]) -> Iterator[list[ListedFile]]:
    group, size = list[ListedFile](), 0
    for entry in entries:
        if group and (len(group) >= _GROUP_FILES or size + entry.size > _GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size
    if group:
        yield group


def _load(files: Files, group: list[ListedFile]) -> list[Loaded]:
    if group[0].size > _GROUP_BYTES:
        with files.fetched(group[0].path) as local:
            return [_loaded(group[0], local)]
    contents = files.contents([entry.path for entry in group])
    return [_loaded(entry, content) for entry, content in zip(group, contents, strict=True)]


def _loaded(entry: ListedFile, content: bytes | Path | Exception) -> Loaded:
    expected = EXPECTED[format_of(entry.path) or "parquet"]
    if isinstance(content, FileNotFoundError):
        return Loaded(entry, problem="it is gone since it was listed")
    if isinstance(content, Exception):
        return Loaded(entry, problem=f"it cannot be opened: {content}")
    try:
        table = table_of(entry.path, content)
        digest = file_digest(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
    except CrmError:
        raise
    except Exception as error:  # pyarrow raises many kinds for a broken file
        return Loaded(entry, problem=f"expected {expected}, found: {' '.join(str(error).split())}")
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    stamp = entry.stamp if size == entry.size else ""
    return Loaded(entry._replace(size=size, stamp=stamp), digest, table)
