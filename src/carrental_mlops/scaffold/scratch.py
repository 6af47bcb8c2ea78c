"""A hidden folder beside the place of a new repo, and an end to those whose maker was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_PREFIX = ".crm-new-"


@contextmanager
def scratch(parent: Path | None) -> Iterator[Path]:
    """An empty folder in `parent` (None: where temporary files go), removed when the block ends.

    A living process holds a lock on its folder, which the kernel lifts when it dies. Folders in `parent` that nobody
    holds are removed first.

    Raises:
        OSError: `parent` cannot be written.
    """
    with ExitStack() as held:
        with ExitStack() as turn:
            if parent is not None:
                turn.enter_context(_lock(parent, wait=True))
                _remove_stale(parent)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_lock(folder, wait=True))
        yield folder


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError), _lock(folder, wait=False) as mine:
            if mine:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Whether the lock was taken; a file system without locks gives none and stops nobody."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        taken = False
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            taken = True
        yield taken
    finally:
        os.close(handle)
