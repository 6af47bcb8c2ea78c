"""When each feature reached each stage, and how long each stage took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.release import Instant
from carrental_mlops.kpi.events import STAGES, Deployment, Idea, Stage, Training, days_between
from carrental_mlops.kpi.history import History, Merge


class Feature(Frozen):
    """A service, or something that was added to one, on its way from an idea into production."""

    service: str
    name: str
    """The service's own name for the service itself."""
    reached: dict[Stage, Instant]
    """Stages that were seen, with the first time; UTC."""

    @property
    def began(self) -> datetime:
        """The earliest thing that is known of it."""
        return min(self.reached.values())

    @property
    def live(self) -> datetime | None:
        """When it was in production first."""
        return self.reached.get("production")

    @property
    def lead_days(self) -> float | None:
        """Days from its beginning into production; None while it is not there."""
        return days_between(self.began, self.live) if self.live else None

    def stage_days(self) -> dict[Stage, float]:
        """Days that passed until each stage was reached, since the stages before it; their sum is the lead time.

        A stage reached before an earlier one took none. A stage that was not seen is left out; its days count to the
        next that was. What came after production counts nowhere.
        """
        clock, found = self.began, {}
        for stage in STAGES:
            at = self.reached.get(stage)
            if at is None:
                continue
            now = max(clock, min(at, self.live) if self.live else at)
            found[stage] = days_between(clock, now)
            clock = now
        return found

    def age_days(self, now: datetime) -> float:
        """Days from its beginning to production, or to `now` while it is not there."""
        return days_between(self.began, self.live if self.live and self.live <= now else now)


@dataclass(frozen=True)
class FeatureEvidence:
    """What the tools of one repo have written."""

    history: History
    trainings: tuple[Training, ...]
    staged: tuple[Deployment, ...]
    """Of all environments between the first and the last."""
    live: tuple[Deployment, ...]
    """Of the last environment."""

    @cached_property
    def _first_commit(self) -> str | None:
        ordered = sorted((one for one in (*self.staged, *self.live) if one.commit), key=lambda one: one.asked_at)
        return ordered[0].commit if ordered else None

    def merge_of_the_service(self, passed: datetime | None) -> Merge | None:
        """The last merge in what was released first; before any release the first merge after the gate's yes."""
        if self._first_commit:
            inside = self.history.contained_in(self._first_commit)
            return next((one for one in reversed(self.history.merges) if one.commit in inside), None)
        return next((one for one in self.history.merges if passed is None or one.at >= passed), None)


def first_feature(service: str, found: FeatureEvidence, idea: Idea | None) -> Feature | None:
    """The service itself; None where nothing is known of it.

    Args:
        service: its name.
        found: what was written.
        idea: that of the service, if somebody noted it.
    """
    passed = _first(one.at for one in found.trainings if one.passed)
    merge = found.merge_of_the_service(passed)
    seen = _seen({
        "idea": idea.date if idea else None,
        "created": found.history.created,
        "trained": _first(one.at for one in found.trainings),
        "gate_passed": passed,
        "merged": merge.at if merge else None,
        "staging": _first_live(found.staged),
        "production": _first_live(found.live),
    })  # fmt: skip
    return Feature(service=service, name=service, reached=seen) if seen else None


def further_feature(service: str, found: FeatureEvidence, idea: Idea) -> Feature:
    """What was added to a service: trainings of its branch or of what holds its merge, releases of what holds it.

    Args:
        service: whose.
        found: what was written.
        idea: with the name that the branch bears.
    """
    merge = found.history.merge_of(idea.feature, idea.date)
    holding = found.history.holding(merge.commit) if merge else frozenset()
    ours = holding | (found.history.brought_by(merge) if merge else found.history.in_work(idea.feature))
    trained = [one for one in found.trainings if one.commit in ours and one.at >= idea.date]
    return Feature(service=service, name=idea.feature, reached=_seen({
        "idea": idea.date,
        "trained": _first(one.at for one in trained),
        "gate_passed": _first(one.at for one in trained if one.passed),
        "merged": merge.at if merge else None,
        "staging": _first_live(one for one in found.staged if one.commit in holding),
        "production": _first_live(one for one in found.live if one.commit in holding),
    }))  # fmt: skip


def _seen(reached: Mapping[Stage, datetime | None]) -> dict[Stage, datetime]:
    return {stage: at for stage, at in reached.items() if at is not None}


def _first(times: Iterable[datetime]) -> datetime | None:
    return min(times, default=None)


def _first_live(found: Iterable[Deployment]) -> datetime | None:
    return _first(one.live_at for one in found if one.live_at and not one.back)
