"""How far a campaign is: a file of one line a step, so that it goes on after a kill at any instant."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import locked
from carrental_mlops.fleet.hosting import Pipeline

Step = Literal["waiting", "current", "committed", "opened", "merged", "closed", "failed"]
"""`current`: it stands on that version. `committed`: on a branch here. The next three: its merge request; one that is
`closed` was so by a person, who may have a reason: it says nothing of the version, and is made anew only on wish."""
Verdict = Literal["", "clean", "conflicts", "breaks"]
"""`breaks`: an override does not fit the new version."""


@dataclass(frozen=True)
class Entry:
    """Where one repo is in a campaign."""

    repo: str
    wave: int
    """0: the canaries."""
    step: Step = "waiting"
    verdict: Verdict = ""
    version_from: str = ""
    files: int = 0
    """How many the upgrade changes."""
    conflicts: int = 0
    breaks: int = 0
    """Overrides that do not fit, or may not."""
    commit: str = ""
    number: int | None = None
    """Of the merge request."""
    url: str = ""
    pipeline: Pipeline = "none"
    why: str = ""
    """Of a failure."""
    ran_s: float | None = None
    """How long it ran under the new version (s); None where it did not."""

    @property
    def good(self) -> bool:
        """Whether it counts as well: merged, or clean and not shown to fail."""
        if self.step in ("current", "merged"):
            return True
        return self.step in ("committed", "opened") and self.verdict == "clean" and self.pipeline != "failed"


class CampaignState:
    """The state file of one campaign.

    Args:
        path: of the file.
        version: that the campaign goes to.
    """

    def __init__(self, path: Path, version: str) -> None:
        self.path, self.version = path, version
        self._lock = Lock()
        self.entries: dict[str, Entry] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process at a time; reads what is there.

        Raises:
            ConfigError: the file is of another campaign, or not ours.
            PlatformError: another process runs this campaign.
        """
        with locked(self.path.with_name(f"{self.path.name}.lock"), timeout_s=1.0):
            self._read()
            yield

    def plan(self, waves: Mapping[str, int]) -> None:
        """Note the wave of each repo; one that has a wave keeps it."""
        for repo, wave in waves.items():
            if repo not in self.entries:
                self.put(Entry(repo, wave))

    def put(self, entry: Entry) -> Entry:
        """Remember where a repo is, on disk before it returns.

        Raises:
            PlatformError: the disk is full, or the folder cannot be written.
        """
        with self._lock:
            if self.entries.get(entry.repo) != entry:
                self._append(asdict(entry))
                self.entries[entry.repo] = entry
        return entry

    def _append(self, told: dict[str, Any]) -> None:
        try:
            with self.path.open("ab") as stream:
                size = stream.seek(0, os.SEEK_END)
                try:
                    stream.write(_line(told))
                    stream.flush()
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(size)  # else the next line would follow half of this one
                    raise
        except OSError as error:
            raise PlatformError(f"{self.path} cannot be written: {error.strerror}", "free some space there") from error

    def _read(self) -> None:
        raw = self.path.read_bytes() if self.path.is_file() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        head = {"campaign": self.version}
        if not whole and _line(head).startswith(raw):  # new, or a kill cut its first line short
            self._cut(0)
            self._append(head)
            return
        self.entries = self._entries(whole.splitlines())
        if whole != raw:  # the line that a kill cut short
            self._cut(len(whole))

    def _entries(self, lines: list[bytes]) -> dict[str, Entry]:
        try:
            head = json.loads(lines[0]) if lines else {}
            if head.get("campaign") != self.version:
                raise ConfigError(f"{self.path} is of a campaign to {head.get('campaign')}", "--state ANOTHER-FILE")
            return {told["repo"]: Entry(**told) for told in map(json.loads, lines[1:])}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{self.path} is no state of a campaign: {error!r}", "--state ANOTHER-FILE; merge requests that are "
                "there are found again"
            ) from error  # fmt: skip

    def _cut(self, size: int) -> None:
        if self.path.is_file():
            os.truncate(self.path, size)


def _line(told: dict[str, Any]) -> bytes:
    return (json.dumps(told) + "\n").encode()
