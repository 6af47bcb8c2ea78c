"""Whole files or none."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from carrental_mlops.errors import PlatformError


@contextlib.contextmanager
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
        raise PlatformError(
            f"{path} cannot be written: {error.strerror or error}",
            f"free space in {path.parent}, or allow writing to it",
        ) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
