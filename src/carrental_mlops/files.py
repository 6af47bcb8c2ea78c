"""Files: whole or not at all, one process at a time, and their digests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from carrental_mlops.errors import PlatformError

_DRAFT = ".draft"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` in one step when the block ends well, and is gone when it does not.

    What makers that were killed left unfinished in the folder is removed.

    Raises:
        PlatformError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_drafts(path.parent)
        handle, draft = _new_draft(path)
        with handle:
            yield draft
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.chmod(0o644)
            draft.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def create_file(path: Path, content: bytes) -> bool:
    """Write `content` as `path`, whole, unless something is there: then False. Of several writers at once one wins.

    Raises:
        PlatformError: the disk is full or the folder cannot be written.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_drafts(path.parent)
        handle, draft = _new_draft(path)
        with handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
            draft.chmod(0o644)
            path.hardlink_to(draft)
    except FileExistsError as error:
        if not path.parent.is_dir():
            raise _unwritable(path, error) from error
        return False
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
    return True


def _new_draft(path: Path) -> tuple[IO[bytes], Path]:
    """An empty file beside `path`, locked while its handle is open: the kernel frees it when the maker is killed."""
    while True:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_DRAFT, dir=path.parent)
        handle = open(number, "ab")  # noqa: PTH123, SIM115 - a descriptor, closed by the caller
        with suppress(OSError):  # a file system without locks: nobody can take the draft for a dead one either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return handle, Path(name)
        handle.close()  # another maker took it for a dead one before it was locked


def _remove_dead_drafts(folder: Path) -> None:
    for found in folder.glob(f".*{_DRAFT}"):
        with suppress(OSError), found.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.unlink()


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
        PlatformError: another process held it for longer than `timeout_s` (retryable), or it cannot be written.
    """
    deadline = time.monotonic() + timeout_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except OSError as error:
        raise _unwritable(path, error) from error
    with opened as handle:
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


def _unwritable(path: Path, error: OSError) -> PlatformError:
    return PlatformError(
        f"{path} cannot be written: {error.strerror or error}", f"free space in {path.parent}, or allow writing to it"
    )
