"""Versions of the package as many repos need them: fetched once, templates compiled once, for any number of threads."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from carrental_mlops.errors import CrmError
from carrental_mlops.scaffold.rendering import Rendering
from carrental_mlops.scaffold.versions import Material, material
from carrental_mlops.upgrade.changelog import released, version_key

_Value = TypeVar("_Value")


class Versions:
    """What is kept of each version for as long as the process lives."""

    def __init__(self, fetch: Callable[[str], Material] = material) -> None:
        self._fetch = fetch
        self._known: dict[object, object] = {}
        self._locks: dict[object, Lock] = {}
        self._lock = Lock()
        self.reading = Lock()
        """What is read of a version's sources is shared by all repos: one thread at a time compares code with it."""

    def get(self, version: str) -> Material:
        """A version; raises as `material` does, without asking again."""
        return self._once(version, lambda: self._fetch(version))

    def compiled(self, template: Path) -> Rendering:
        """A template of a version, compiled."""
        return self._once(template, lambda: Rendering(template))

    def _once(self, key: object, make: Callable[[], _Value]) -> _Value:
        with self._lock:
            own = self._locks.setdefault(key, Lock())
        with own:
            if key not in self._known:
                try:
                    self._known[key] = make()
                except CrmError as error:
                    self._known[key] = error
            found = self._known[key]
        if isinstance(found, CrmError):
            raise type(found)(*found.args)
        return found  # type: ignore[return-value]


def behind(version: str, newest: str, changelog: str, today: datetime.date) -> tuple[int | None, str]:
    """Days since a version newer than `version` could be had.

    Args:
        version: that a repo stands on.
        newest: the newest there is.
        changelog: of the newest.
        today: UTC.

    Returns:
        The days, and the first version after `version`; (0, "") where there is none; None where its day is not known.
    """
    if version_key(version) >= version_key(newest):
        return 0, ""
    days = released(changelog)
    after = sorted((v for v in days if version_key(version) < version_key(v) <= version_key(newest)), key=version_key)
    first = after[0] if after else newest
    day = days.get(first)
    return (max(0, (today - day).days) if day else None), first
