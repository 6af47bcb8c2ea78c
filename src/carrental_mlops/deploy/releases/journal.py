"""What was done to a service beside its releases: rollouts and switches, one event a file, in the place of releases.

<env>/journal/<time>-<n>.json
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.objects import ObjectStore
from carrental_mlops.deploy.releases.release import Instant
from carrental_mlops.errors import DataError

Kind = Literal[
    "rollout.scored", "rollout.weight", "rollout.stopping", "rollout.promoted", "rollout.rolled_back",
    "rollout.refused", "switch.on", "switch.off",
]  # fmt: skip


class JournalEntry(Frozen):
    """One thing that somebody, or a rollout by itself, has done."""

    kind: Kind
    at: Instant
    by: str
    said: str
    """One sentence."""
    release: str | None = None
    data: dict[str, Any] = {}


class Journal:
    """The journal of one environment; entries are never changed.

    Args:
        root: of the model repo.
        place: `deploy.releases` of crm.yaml, a folder or an S3 prefix.
        env: environment.

    Every method raises PlatformError when the place cannot be read or written, DataError for a file that is no entry.
    """

    def __init__(self, root: Path, place: str, env: str) -> None:
        self._place, self._below = ObjectStore(root, place), f"{env}/journal"

    def write(
        self, kind: Kind, by: str, said: str, release: str | None = None, data: dict[str, Any] | None = None
    ) -> JournalEntry:
        """The entry, now kept."""
        entry = JournalEntry(kind=kind, at=datetime.now(UTC), by=by, said=said, release=release, data=data or {})
        stamp, n = f"{entry.at:%Y%m%dT%H%M%S.%fZ}", 0
        content = (entry.model_dump_json(indent=1) + "\n").encode()
        while not self._place.create(f"{self._below}/{stamp}-{n}.json", content):
            n += 1
        return entry

    def entries(self, since: datetime | None = None) -> list[JournalEntry]:
        """Entries from `since` on, oldest first."""
        stamp = f"{since.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}" if since else ""
        return [self._parsed(name) for name in sorted(self._place.names(self._below)) if name >= stamp]

    def newest_first(self) -> Iterator[JournalEntry]:
        """Every entry, each read as it is asked for."""
        return (self._parsed(name) for name in sorted(self._place.names(self._below), reverse=True))

    def _parsed(self, name: str) -> JournalEntry:
        raw = self._place.read(f"{self._below}/{name}") or b""
        try:
            return JournalEntry.model_validate_json(raw)
        except ValidationError as error:
            what = f"{self._place.shown}{self._below}/{name} is no entry of the journal: {error.errors()[0]['msg']}"
            raise DataError(what, "restore the file; an entry is never edited") from error
