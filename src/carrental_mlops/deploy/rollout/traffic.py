"""How much of the traffic the canary gets: what a rollout needs of a mesh."""

from __future__ import annotations

from typing import Protocol


class Traffic(Protocol):
    """Splits requests between champion and canary. Each method may be called twice, or after a kill, with one effect.

    Each raises PlatformError (retryable) where the split could not be changed; it then is as it was.
    """

    def weight(self) -> int:
        """What the canary gets (percent)."""
        ...

    def set(self, weight: int) -> None:
        """Give the canary `weight` percent, the champion the rest."""
        ...

    def promote(self) -> None:
        """Make the canary's release the champion: it answers everything."""
        ...

    def roll_back(self) -> None:
        """Take the canary away: the champion answers everything."""
        ...
