"""Where the files of a source lie; here those of the local file system."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from carrental_mlops.files import file_digest

_JUST_NOW_NS = 2_000_000_000
"""A file younger than this may change again under the same time stamp."""


class ListedFile(NamedTuple):
    """One file as a listing shows it."""

    path: str
    """Relative to the source, `/` between folders."""
    size: int
    """Bytes."""
    stamp: str
    """Differs when the file was written again; empty where that cannot be told."""


class Files(Protocol):
    """What is asked of a place where files lie."""

    @property
    def shown(self) -> str:
        """The place as a person reads it, without credentials."""

    def entries(self) -> Iterator[ListedFile]:
        """Every file whose name does not begin with `.` or `_`, in any order."""

    def contents(self, paths: Sequence[str]) -> list[bytes | Exception]:
        """The bytes of each of `paths`, or why they cannot be had."""

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """A local file with the content of a large one, there while the block runs."""

    def digest(self, path: str) -> str | None:
        """sha256 (hex) of a file whose stamp differs; None where only reading it again can tell."""


class LocalFiles:
    """The files below a folder, those that match a glob, or one file.

    Args:
        source: absolute path of a file or a folder, or a glob; `**` goes through folders.
    """

    def __init__(self, source: Path) -> None:
        self._source, self.shown = source, str(source)
        fixed = next((n for n, part in enumerate(source.parts) if any(c in part for c in "*?[")), None)
        self._glob = None if fixed is None or source.exists() else "/".join(source.parts[fixed:])
        self._folder = Path(*source.parts[:fixed]) if self._glob else source if source.is_dir() else source.parent

    def entries(self) -> Iterator[ListedFile]:
        """See `Files`."""
        if self._glob is None and self._source.is_dir():
            yield from _below(self._source, "")
            return
        found = self._folder.glob(self._glob) if self._glob else [self._source]
        for path in found:
            if path.is_file():
                yield _entry(path.relative_to(self._folder).as_posix(), path.stat())

    def contents(self, paths: Sequence[str]) -> list[bytes | Exception]:
        """See `Files`."""
        return [self._bytes(path) for path in paths]

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """See `Files`."""
        return nullcontext(self._folder / path)

    def digest(self, path: str) -> str | None:
        """See `Files`."""
        return file_digest(self._folder / path)

    def _bytes(self, path: str) -> bytes | Exception:
        try:
            return (self._folder / path).read_bytes()
        except OSError as error:
            return error


def hidden(path: str) -> bool:
    """True for what tools leave beside data: `_SUCCESS`, `.part.crc`, anything in a folder named so."""
    return any(part.startswith((".", "_")) for part in path.split("/"))


def _below(folder: Path, prefix: str) -> Iterator[ListedFile]:
    with os.scandir(folder) as found:
        for item in found:
            if item.name.startswith((".", "_")):
                continue
            if item.is_dir():
                yield from _below(folder / item.name, f"{prefix}{item.name}/")
            elif item.is_file():
                yield _entry(prefix + item.name, item.stat())


def _entry(path: str, found: os.stat_result) -> ListedFile:
    newest = max(found.st_mtime_ns, found.st_ctime_ns)
    settled = time.time_ns() - newest > _JUST_NOW_NS
    return ListedFile(path, found.st_size, f"{found.st_mtime_ns}.{found.st_ctime_ns}" if settled else "")
