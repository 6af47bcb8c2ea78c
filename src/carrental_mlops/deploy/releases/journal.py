"""What was done to a service beside its releases: rollouts and switches, one event a file, in the place of releases.

<env>/journal/<time>-<n>.json
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.release import Instant
from carrental_mlops.errors import DataError, PlatformError
from carrental_mlops.files import create_file
from carrental_mlops.integrations.s3 import S3Objects

Kind = Literal[
    "rollout.scored", "rollout.weight", "rollout.promoted", "rollout.rolled_back", "rollout.refused", "switch.on",
    "switch.off",
]  # fmt: skip


class Entry(Frozen):
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
        self._env = env
        self._bucket = place if place.startswith("s3://") else None
        self._folder = root / place / env / "journal"

    def write(
        self, kind: Kind, by: str, said: str, release: str | None = None, data: dict[str, Any] | None = None
    ) -> Entry:
        """The entry, now kept."""
        entry = Entry(kind=kind, at=datetime.now(UTC), by=by, said=said, release=release, data=data or {})
        stamp, n = f"{entry.at:%Y%m%dT%H%M%S.%fZ}", 0
        content = (entry.model_dump_json(indent=1) + "\n").encode()
        while not self._create(f"{stamp}-{n}.json", content):
            n += 1
        return entry

    def entries(self, since: datetime | None = None) -> list[Entry]:
        """Entries from `since` on, oldest first."""
        stamp = f"{since.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}" if since else ""
        return [self._parsed(name) for name in sorted(self._names()) if name >= stamp]

    def _create(self, name: str, content: bytes) -> bool:
        if self._bucket:
            return S3Objects(self._bucket).create(f"{self._env}/journal/{name}", content)
        return create_file(self._folder / name, content)

    def _names(self) -> list[str]:
        if self._bucket:
            return [entry.path for entry in S3Objects(f"{self._bucket}{self._env}/journal/").entries()]
        try:
            return [path.name for path in self._folder.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PlatformError(f"{self._folder} cannot be read: {error.strerror}", "allow reading it") from error

    def _parsed(self, name: str) -> Entry:
        if self._bucket:
            raw = S3Objects(self._bucket).contents([f"{self._env}/journal/{name}"])[0]
            if isinstance(raw, Exception):
                raise raw
        else:
            raw = (self._folder / name).read_bytes()
        try:
            return Entry.model_validate_json(raw)
        except ValidationError as error:
            what = f"{self._bucket or self._folder}: {name} is no entry of the journal: {error.errors()[0]['msg']}"
            raise DataError(what, "restore the file; an entry is never edited") from error
