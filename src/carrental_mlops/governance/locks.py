"""The committed environments of a repo, `requirements/*.txt`: names, versions, where each stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from carrental_mlops.governance.view import RepoView

SHIPPED = ("requirements/serving.txt", "requirements/pipelines.txt")
"""What goes into images; the others hold tools that stay on a developer's machine or in CI."""
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")


@dataclass(frozen=True)
class Pin:
    """One package as locked."""

    name: str
    """Normalised: lower case, `-`."""
    version: str
    path: str
    line: int


@dataclass(frozen=True)
class Loose:
    """A line that pins no package to a version and a hash."""

    said: str
    path: str
    line: int


def normal(name: str) -> str:
    """A package's name as an index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locks(view: RepoView) -> tuple[str, ...]:
    """The lock files."""
    return view.below("requirements", suffix=".txt")


def pins(view: RepoView) -> tuple[Pin, ...]:
    """Every pinned package of every lock, by file and line."""
    return tuple(
        Pin(normal(found[1]), found[2], path, number)
        for path in locks(view)
        for number, entry in _entries(view.text(path))
        if (found := _PIN.match(entry))
    )


def loose(view: RepoView) -> tuple[Loose, ...]:
    """Every entry that is not pinned to a version, or has no hash."""
    return tuple(
        Loose(entry.split()[0], path, number)
        for path in locks(view)
        for number, entry in _entries(view.text(path))
        if not (_PIN.match(entry) and "--hash=sha256:" in entry) and not entry.startswith("--hash")
    )


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Each logical line with the number of its first; comments and empty ones left out."""
    begun, held = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        part = line.strip()
        if not held and (not part or part.startswith("#")):
            continue
        begun = begun if held else number
        held += part.removesuffix("\\")
        if not part.endswith("\\"):
            yield begun, held
            held = ""
    if held:
        yield begun, held
