"""Where a rollout stands, for whoever goes on with it or takes it back: on this machine or on another.

Each turn of a rollout is an entry of the journal, beside the releases. What was counted between two turns lies in a
file of the machine that counted it: without it the step that is under way is watched again from its beginning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.deploy.releases.journal import Journal, JournalEntry, Kind
from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file

_ENDS = ("rollout.promoted", "rollout.rolled_back")


@dataclass
class Stand:
    """Where one rollout is."""

    release: str
    by: str
    began: float
    """Seconds since 1970-01-01 UTC."""
    state: Literal["canary", "promoting", "rolling_back"] = "canary"
    step: int = 0
    step_began: float = 0.0
    """0: the step was not begun, or is to begin again."""
    weight: int = 0
    """What the canary was given last (percent)."""
    begun: int = 0
    """Steps that were begun; one that was begun again counts again."""
    turn: int = 0
    """Entries in the journal."""
    reasons: tuple[str, ...] = ()
    last: dict[str, float] = field(default_factory=dict)
    """Of `Counters`."""
    watch: dict[str, Any] = field(default_factory=dict)
    """Of `Watch`."""


@dataclass(frozen=True)
class Stands:
    """The one rollout that an environment may have.

    Args:
        file: of this machine, for what was counted.
        journal: of the environment, which every machine reads.
    """

    file: Path
    journal: Journal

    def open(self) -> Stand | None:
        """The rollout that has begun and not ended, wherever; None where none has.

        Raises:
            PlatformError: the journal cannot be read.
            ConfigError: this machine's file is broken.
        """
        newest, here = self._newest(), self._here()
        if here and (newest is None or newest.at.timestamp() < here.began):
            return here
        if newest is None or newest.kind in _ENDS:
            return None
        told = _stand(newest.data["stand"])
        if here and here.began == told.began and here.turn >= told.turn:
            return here
        told.step_began = 0.0
        return told

    def taken_over(self, stand: Stand) -> str:
        """Who has gone on with `stand` on another machine, or ended it; empty where nobody has.

        Raises:
            PlatformError: the journal cannot be read.
        """
        newest = self._newest()
        other = _stand(newest.data["stand"]) if newest else None
        if newest is None or other is None or newest.at.timestamp() < stand.began:
            return ""
        mine = other.began == stand.began and other.turn <= stand.turn and newest.kind not in _ENDS
        return "" if mine else f"{newest.by}: {newest.said}"

    def turn(self, stand: Stand, kind: Kind, said: str, data: dict[str, Any] | None = None) -> None:
        """Keep `stand`, here and in the journal.

        Raises:
            PlatformError: the journal cannot be written; this machine's file says it all the same.
        """
        stand.turn += 1
        self.keep(stand)
        told = {name: value for name, value in vars(stand).items() if name not in ("last", "watch")}
        self.journal.write(kind, stand.by, said, stand.release, {**(data or {}), "stand": told})
        if kind in _ENDS:
            self.file.unlink(missing_ok=True)

    def keep(self, stand: Stand) -> None:
        """`stand` with what was counted, on this machine."""
        with whole_file(self.file) as draft:
            draft.write_text(json.dumps(vars(stand)))

    def _newest(self) -> JournalEntry | None:
        return next((one for one in self.journal.newest_first() if "stand" in one.data), None)

    def _here(self) -> Stand | None:
        try:
            return _stand(json.loads(self.file.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            what = f"{self.file} does not say where a rollout stands: {error}"
            raise ConfigError(what, "remove it: the journal says it too, and the step is watched again") from error


def _stand(told: dict[str, Any]) -> Stand:
    return Stand(**{**told, "reasons": tuple(told["reasons"])})
