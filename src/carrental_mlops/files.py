"""Files: whole or not at all, one process at a time, and their digests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carrental_mlops.errors import PlatformError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` in one step when the block ends well, and is gone when it does not.

    Raises:
        PlatformError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        draft = Path(name)
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
