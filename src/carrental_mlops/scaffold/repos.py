"""The model repos below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from carrental_mlops.scaffold.ownership import RECORD


def repos_below(place: Path, mark: str = RECORD, deepest: int = 4, links: bool = False) -> Iterator[Path]:
    """Every repo at `place` or below it, by name; nothing inside of a repo, and no hidden folder.

    Args:
        place: a folder; one that is not there, or may not be read, holds none.
        mark: a file that makes a folder a repo, relative to it; default: what `crm new` writes.
        deepest: folders below `place` in which repos are looked for.
        links: whether a linked folder is entered too.
    """
    if (place / mark).is_file():
        yield place
    elif deepest:
        for name in sorted(_folders(place, links)):
            yield from repos_below(place / name, mark, deepest - 1, links)


def _folders(place: Path, links: bool) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=links)]
    except (PermissionError, FileNotFoundError, NotADirectoryError):
        return []
