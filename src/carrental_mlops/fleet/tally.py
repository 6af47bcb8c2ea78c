"""How much of a wave has failed; what a person closed says nothing of the new version and counts on neither side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Lock

from carrental_mlops.fleet.campaign_state import Entry


@dataclass(frozen=True)
class Judged:
    """A wave so far."""

    counted: tuple[Entry, ...]
    """Those that say something of the version."""
    failed: tuple[Entry, ...]

    def too_many(self, stop_above: float) -> str:
        """Why the next wave may not begin, in words; empty where no more than that share (fraction) has failed."""
        if len(self.failed) <= stop_above * len(self.counted):
            return ""
        share = f"{len(self.failed)} of {len(self.counted)} repos failed, more than {stop_above:.0%}"
        names = ", ".join(one.repo for one in self.failed[:5])
        return f"{share}: {names}{' …' if len(self.failed) > 5 else ''}"


def judged(entries: Sequence[Entry]) -> Judged:
    """The entries of a wave, told apart."""
    counted = tuple(one for one in entries if one.step != "closed")
    return Judged(counted, tuple(one for one in counted if not one.good and one.step != "waiting"))


class Tally:
    """The same while a wave goes on; `stop` is set once the share `stop_above` of `size` repos has failed."""

    def __init__(self, stop_above: float, size: int) -> None:
        self.stop = Event()
        self._share, self._size, self._bad, self._lock = stop_above, size, 0, Lock()

    def count(self, entry: Entry) -> None:
        """One more that is done."""
        with self._lock:
            closed = entry.step == "closed"
            self._size -= closed
            self._bad += not entry.good and not closed
            if self._bad > self._share * self._size:
                self.stop.set()
