"""What an upgrade in progress has written down, so that it can go on or be undone after a kill at any instant."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from carrental_mlops.errors import ConfigError
from carrental_mlops.files import locked, whole_file
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry
from carrental_mlops.upgrade.merge import Change
from carrental_mlops.upgrade.trees import Sides

Phase = Literal["stash", "prepare", "apply", "conflicts", "finish", "unstash"]
_LOCK_S = 2.0


@dataclass(frozen=True)
class Journal:
    """An upgrade in progress."""

    phase: Phase
    """What is under way; everything before it is done."""
    head: str
    """The commit that the upgrade started from."""
    template: str
    version_from: str
    version_to: str
    answers: dict[str, str]
    sides: Sides
    changes: tuple[Change, ...]
    conflicts: tuple[str, ...]
    token: str
    """In the names of files that are not yet in their place."""
    returned: tuple[str, ...] = ()
    """Paths of the ledger entries that this upgrade brings again; the others are waived."""
    stash: str = ""
    """The commit that holds the team's uncommitted work."""
    commit: str = ""
    """Of the upgrade, once it is made."""


class JournalFile:
    """The journal of one work tree, in its git folder.

    Args:
        git: the repository.
    """

    def __init__(self, git: Git) -> None:
        self.git_dir = git.directory
        self.folder = self.git_dir / "crm-upgrade"
        self._path = self.folder / "journal.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """One upgrade at a time.

        Raises:
            PlatformError: another process upgrades this repo.
        """
        with locked(self.git_dir / "crm-upgrade.lock", timeout_s=_LOCK_S):
            yield

    def read(self) -> Journal | None:
        """The upgrade in progress; None where there is none.

        Raises:
            ConfigError: the file does not hold what we write.
        """
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            changes = tuple(_change(change) for change in told.pop("changes"))
            told |= {
                "sides": Sides(**told["sides"]),
                "conflicts": tuple(told["conflicts"]),
                "returned": tuple(told["returned"]),
            }
            return Journal(**told, changes=changes)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._path} does not hold what crm writes: {error!r}", "git status; git stash"
            ) from error

    def write(self, journal: Journal) -> Journal:
        """Write it down, whole, before what it says is begun."""
        with whole_file(self._path) as draft:
            draft.write_text(json.dumps(asdict(journal)), encoding="utf-8")
        return journal

    def enter(self, journal: Journal, phase: Phase, **known: Any) -> Journal:
        """Write down that `phase` is under way."""
        return self.write(replace(journal, phase=phase, **known))

    def remove(self) -> None:
        """The upgrade is over, one way or the other."""
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _change(told: dict[str, Any]) -> Change:
    before, after = (Entry(**told[side]) if told[side] else None for side in ("before", "after"))
    return Change(told["path"], before, after, tuple((mode, oid, int(n)) for mode, oid, n in told["stages"]))
