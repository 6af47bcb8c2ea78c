"""The files of the audit: begun and appended to by a worker, closed by size or age, sent, and removed in the end.

`<kind>-<instant in ns>-<random>` + `.draft` (begun), `.open` (a worker appends; it holds a lock on it), `.jsonl`
(closed, to be sent) or `.sent`. The kernel frees the lock of a killed worker; whoever comes next closes its file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_SUFFIXES = (".open", ".jsonl", ".sent")
"""In the order in which a file goes through them."""
_DRAFT_S = 3600.0
"""Age at which a file that was never begun is that of a killed worker."""


class Segments:
    """What one worker appends to.

    Args:
        folder: of the audit; the files lie directly in it.
        kind: `events` or `inputs`.
        limit: bytes at which a file is closed.
        age_s: seconds at which it is closed.
        header: the first line of a new file.
    """

    def __init__(
        self, folder: Path, kind: str, limit: int, age_s: float, header: Callable[[], bytes] | None = None
    ) -> None:
        self.folder = folder
        self._kind, self._limit, self._age_s, self._header = kind, limit, age_s, header
        self._file: int | None = None
        self._size = self._begun_with = 0

    def append(self, lines: bytes, sync: bool = True) -> None:
        """On disk when it returns; without `sync` the kernel has it, which outlives the process and not the machine.

        Raises:
            OSError: it is not; what was half-written is taken back, and the next call begins a new file.
        """
        file = self._file
        if file is None or self._size + len(lines) > self._limit:
            file = self._begin()
        try:
            _write(file, lines)
            if sync:
                os.fdatasync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            with contextlib.suppress(OSError):
                self.close()
            raise
        self._size += len(lines)

    def rotate(self) -> None:
        """Close a file that is old enough."""
        if self._file is not None and time.monotonic() - self._begun > self._age_s:
            self.close()

    def close(self) -> None:
        """Give the file to whoever sends it; one without a line is removed."""
        file, self._file = self._file, None
        if file is not None:
            try:
                _finish(self._path, empty=self._size == self._begun_with)
            finally:
                os.close(file)

    def _begin(self) -> int:
        self.close()
        name = f"{self._kind}-{time.time_ns()}-{os.urandom(4).hex()}"
        draft = self.folder / f"{name}.draft"
        header = self._header() if self._header else b""
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _write(file, header)
            os.fdatasync(file)
            self._path = draft.rename(self.folder / f"{name}.open")
            _sync(self.folder)
        except OSError:
            for path in (draft, draft.with_suffix(".open")):
                path.unlink(missing_ok=True)
            os.close(file)
            raise
        self._file, self._begun = file, time.monotonic()
        self._size = self._begun_with = len(header)
        return file


def recover(folder: Path) -> list[Path]:
    """Closes the files of killed workers; a last line cut short was never answered, and goes.

    Args:
        folder: of the audit.

    Returns:
        What was closed.
    """
    closed = []
    for path in sorted(folder.glob("*.open")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():  # its worker closed it before the lock was ours
                continue
            body = file.read()
            whole = body.rfind(b"\n") + 1
            if whole < len(body):
                file.truncate(whole)
            if (done := _finish(path, empty=not whole)) is not None:
                closed.append(done)
    for draft in folder.glob("*.draft"):
        if time.time() - begun(draft) > _DRAFT_S:
            draft.unlink(missing_ok=True)
    return closed


def segments(folder: Path, kind: str, since: float | None = None, until: float | None = None) -> list[Path]:
    """The files that may hold events between two instants, oldest first.

    Args:
        folder: of the audit.
        kind: `events` or `inputs`.
        since: seconds since 1970-01-01 UTC; None for the first.
        until: None for the last.
    """
    found = []
    for suffix in _SUFFIXES:
        for path in folder.glob(f"{kind}-*{suffix}"):
            with contextlib.suppress(FileNotFoundError):
                if (since is None or path.stat().st_mtime >= since) and (until is None or begun(path) <= until):
                    found.append(path)
    return sorted({path.stem: path for path in found}.values(), key=begun)


def lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, which may go from one suffix to the next meanwhile."""
    for suffix in _SUFFIXES[_SUFFIXES.index(path.suffix) :]:
        with contextlib.suppress(FileNotFoundError), path.with_suffix(suffix).open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
            return


def expired(folder: Path, kind: str, days: float, unsent_too: bool) -> list[Path]:
    """The files begun more than `days` ago that may go, oldest first.

    Args:
        folder: of the audit.
        kind: `events` or `inputs`.
        days: how long they are kept.
        unsent_too: also those that were only closed, as where nothing is sent.
    """
    oldest = time.time() - days * 86_400
    suffixes = (".sent", ".jsonl") if unsent_too else (".sent",)
    return sorted(path for s in suffixes for path in folder.glob(f"{kind}-*{s}") if begun(path) < oldest)


def begun(path: Path) -> float:
    """When a file was begun (seconds since 1970-01-01 UTC)."""
    return int(path.name.split("-")[1]) / 1e9


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _finish(path: Path, empty: bool) -> Path | None:
    if empty:
        path.unlink()
        return None
    return path.rename(path.with_suffix(".jsonl"))


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
