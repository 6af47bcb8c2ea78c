"""The roadmap: tracks, initiatives, milestones; where each stands, and what wants a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.events import Stage
from carrental_mlops.kpi.files import read_yaml
from carrental_mlops.kpi.service import Service

EXAMPLE = Path(__file__).with_name("roadmap.yaml")
SOON_DAYS = 14
Status = Literal["done", "late", "at risk", "due soon", "planned"]


class Reached(Frozen):
    """A milestone that the events of the services decide, and nobody's word."""

    stage: Stage
    features: int = Field(ge=1)
    """So many features have reached `stage`."""
    services: tuple[str, ...] = ()
    """Of these services alone; none named: of all."""


class Milestone(Frozen):
    """Something that is there by a day."""

    name: str = Field(min_length=1)
    due_day: int = Field(ge=0)
    """Days after the start."""
    done: date | None = None
    """The day on which its owner found it there."""
    reached: Reached | None = None
    """Instead of `done`: read from events."""
    after: tuple[str, ...] = ()
    """Names of milestones that must be there before."""

    @model_validator(mode="after")
    def _hold_one_word(self) -> Milestone:
        if self.done and self.reached:
            raise ValueError(f"`{self.name}` has both `done` and `reached`; events alone decide the latter")
        return self


class Initiative(Frozen):
    """Part of a track, with one person who answers for it."""

    name: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    milestones: tuple[Milestone, ...] = Field(min_length=1)


class Track(Frozen):
    """One line of work."""

    name: str = Field(min_length=1)
    initiatives: tuple[Initiative, ...] = Field(min_length=1)


class Roadmap(Frozen):
    """`roadmap.yaml`."""

    start: date | None = None
    """The day that `due_day` counts from; unset: it must be given when the roadmap is read."""
    days: int = Field(default=365, ge=1)
    """How long the period of the target is."""
    features: int = Field(default=14, ge=1)
    """Features that shall reach production in it."""
    past_days: float = Field(default=90, gt=0)
    """Lead time before, an assumption."""
    goal_days: float = Field(default=22, gt=0)
    """Lead time that is wanted."""
    tracks: tuple[Track, ...] = ()

    @model_validator(mode="after")
    def _hold_order(self) -> Roadmap:
        names = [one.name for _, _, one in self.milestones()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two milestones are named {', '.join(twice)}")
        for _, _, one in self.milestones():
            unknown = sorted(set(one.after) - set(names))
            if unknown:
                raise ValueError(f"`{one.name}` comes after {', '.join(unknown)}, which is no milestone")
        before = {one.name: set(one.after) for _, _, one in self.milestones()}
        while free := [name for name, waits in before.items() if not waits & before.keys()]:
            for name in free:
                del before[name]
        if before:
            raise ValueError(f"these wait for each other: {', '.join(sorted(before))}")
        return self

    def milestones(self) -> Iterator[tuple[Track, Initiative, Milestone]]:
        """Every milestone with where it stands, in file order."""
        for track in self.tracks:
            for initiative in track.initiatives:
                for milestone in initiative.milestones:
                    yield track, initiative, milestone


class MilestoneStanding(Frozen):
    """One milestone as it stands."""

    track: str
    initiative: str
    owner: str
    milestone: str
    due: date
    status: Status
    done: date | None = None
    said: str = ""
    """One sentence for whoever must act; empty where nobody must."""


def read_roadmap(path: Path, start: date | None = None) -> Roadmap:
    """The roadmap in `path`, with `start` instead of its own where it is given.

    Raises:
        ConfigError: the file does not hold, or nobody names a start.
    """
    found = read_yaml(path, Roadmap, "crm kpi roadmap --example shows one")
    begin = start or found.start
    if begin is None:
        raise ConfigError(f"{path} names no `start`", "--start 2026-01-05, or `start: 2026-01-05` in the file")
    return found.model_copy(update={"start": begin})


def standings(roadmap: Roadmap, services: Sequence[Service], today: date) -> tuple[MilestoneStanding, ...]:
    """Each milestone at `today`, in file order.

    `done`: the day it names has come, or so many features have reached the stage. `late`: it is due before today.
    `at risk`: a milestone that it waits for is late, at risk, or due after it. `due soon`: within 14 days.

    Raises:
        ConfigError: the roadmap has no start, or a milestone is done on a day after `today`.
    """
    if roadmap.start is None:
        raise ConfigError("the roadmap has no start", "--start 2026-01-05")
    every = {one.name: (track, initiative, one) for track, initiative, one in roadmap.milestones()}
    found: dict[str, MilestoneStanding] = {}
    while len(found) < len(every):
        for name, (track, initiative, one) in every.items():
            if name not in found and all(before in found for before in one.after):
                due, done = roadmap.start + timedelta(days=one.due_day), _done(one, services, today)
                status, said = _status(due, done, [found[before] for before in one.after], today)
                found[name] = MilestoneStanding(track=track.name, initiative=initiative.name, owner=initiative.owner,
                                       milestone=name, due=due, status=status, done=done, said=said)  # fmt: skip
    return tuple(found[name] for name in every)


def _done(one: Milestone, services: Sequence[Service], today: date) -> date | None:
    if one.done and one.done > today:
        raise ConfigError(f"`{one.name}` is done on {one.done}, which has not come", "take the day away until it has")
    if one.reached is None:
        return one.done
    wanted = one.reached
    days = sorted(
        feature.reached[wanted.stage].date()
        for service in services
        if not wanted.services or service.name in wanted.services
        for feature in service.features
        if wanted.stage in feature.reached
    )
    return days[wanted.features - 1] if len(days) >= wanted.features else None


def _status(due: date, done: date | None, before: Sequence[MilestoneStanding], today: date) -> tuple[Status, str]:
    if done is not None:
        return "done", ""
    if due < today:
        return "late", f"{(today - due).days} days late"
    held = [one for one in before if one.status in ("late", "at risk") or (one.status != "done" and one.due > due)]
    if held:
        return "at risk", f"waits for {', '.join(f'{one.milestone} ({_why(one, due)})' for one in held)}"
    if due <= today + timedelta(days=SOON_DAYS):
        return "due soon", f"due in {(due - today).days} days"
    return "planned", ""


def _why(before: MilestoneStanding, due: date) -> str:
    return before.status if before.status in ("late", "at risk") else f"due {(before.due - due).days} days later"


def counts(found: Sequence[MilestoneStanding]) -> Mapping[Status, int]:
    """How many stand how."""
    order: tuple[Status, ...] = ("done", "late", "at risk", "due soon", "planned")
    return {status: sum(one.status == status for one in found) for status in order}
