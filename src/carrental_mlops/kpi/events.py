"""What the figures are made of: stages of a feature, trainings, deployments; each read from what a tool wrote."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.release import Instant

Stage = Literal["idea", "created", "trained", "gate_passed", "merged", "staging", "production"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""In order. `idea`: somebody wrote it down; `created`: `crm new`; `merged`: into the default branch; the last two: live
there."""
DAY_S = 86_400.0


class Training(Frozen):
    """One finished run that trains."""

    at: Instant
    """When it ended, UTC."""
    commit: str | None
    passed: bool
    """The gate said yes."""


class Deployment(Frozen):
    """One release that somebody wanted live in one environment."""

    id: str
    commit: str | None
    asked_at: Instant
    live_at: Instant | None = None
    """When it answered everything; None: never, or not yet."""
    back: bool = False
    """It brings an earlier release back."""
    failed_at: Instant | None = None
    """When it began to do harm, at the earliest; None: it did none that was seen."""
    restored_at: Instant | None = None
    """When what had failed was answered by something else; None: not yet, or nothing failed."""
    why: str = ""
    """What shows that it failed."""

    @property
    def restore_h(self) -> float | None:
        """Hours from the failure to its end; None while it lasts, and where nothing failed."""
        if self.failed_at is None or self.restored_at is None:
            return None
        return max((self.restored_at - self.failed_at).total_seconds(), 0.0) / 3600


class Idea(Frozen):
    """One entry of `ideas.yaml`."""

    feature: str
    date: Instant
    """UTC; a day stands for its first second."""
    person: str


def days_between(first: datetime, last: datetime) -> float:
    """Days of 24 hours from `first` to `last`."""
    return (last - first).total_seconds() / DAY_S
