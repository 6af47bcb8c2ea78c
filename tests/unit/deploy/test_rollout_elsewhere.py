"""A rollout that one machine left: another one, with the same releases and the same mesh, takes it back or goes on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from carrental_mlops.config.deploy import RolloutPlan
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.rollout.promotion import Rollout, TakenOver
from carrental_mlops.deploy.rollout.stand import Stand, Stands
from carrental_mlops.errors import ConfigError, PlatformError


@dataclass
class FileTraffic:
    """A mesh whose weights are one file, as every machine sees it."""

    file: Path

    def weight(self) -> int:
        return int(self.file.read_text())

    def set(self, weight: int) -> None:
        self.file.write_text(str(weight))

    def promote(self) -> None:
        self.set(100)

    def roll_back(self) -> None:
        self.set(0)


@dataclass
class Machines:
    """Two folders, one place of releases, one mesh."""

    root: Path

    @property
    def journal(self) -> Journal:
        return Journal(self.root, "releases/", "prod")

    def file(self, name: str) -> Path:
        return self.root / name / "prod.json"

    def stands(self, name: str) -> Stands:
        return Stands(self.file(name), self.journal)

    def rollout(self, name: str) -> Rollout:
        plan = RolloutPlan(kind="canary", steps=(10, 25))
        away = Prometheus("http://127.0.0.1:9")
        traffic = FileTraffic(self.root / "weight")
        return Rollout(self.file(name), traffic, away, {}, plan, self.journal, look_s=0.01)

    def left_by_a(self) -> Stand:
        """What a process on machine `a` leaves that is killed while it watches the second step."""
        stand = Stand("prod-7", "ann", time.time(), step=1, step_began=time.time(), weight=25, begun=2)
        stand.last = {"begun": 1.0}
        self.stands("a").turn(stand, "rollout.weight", "the canary gets 25 %")
        (self.root / "weight").write_text("25")
        return stand

    def weight(self) -> int:
        return int((self.root / "weight").read_text())


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    (tmp_path / "weight").write_text("0")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return Machines(tmp_path)


def test_another_machine_takes_it_back_and_the_first_knows(machines: Machines) -> None:
    machines.left_by_a()
    outcome = machines.rollout("b").abort("bob")
    assert outcome is not None
    assert (outcome.state, outcome.release, outcome.weight) == ("rolled_back", "prod-7", 25)
    assert outcome.reasons == ("aborted by bob",)
    assert machines.weight() == 0
    assert machines.file("a").exists()
    for name in ("a", "b"):
        assert machines.stands(name).open() is None
    assert machines.rollout("a").abort("ann") is None
    last = machines.journal.entries()[-1]
    assert (last.kind, last.by, last.release) == ("rollout.rolled_back", "bob", "prod-7")


def test_another_machine_begins_the_step_anew_and_the_first_one_stops(machines: Machines) -> None:
    left = machines.left_by_a()
    found = machines.stands("b").open()
    assert found is not None
    assert (found.release, found.step, found.step_began, found.begun, found.last) == ("prod-7", 1, 0.0, 2, {})
    again = machines.stands("a").open()
    assert again is not None
    assert (again.step_began, again.last) == (left.step_began, {"begun": 1.0})
    found.step_began, found.begun, found.by = time.time(), 3, "bob"
    machines.stands("b").turn(found, "rollout.weight", "the canary gets 25 %")
    assert machines.stands("a").taken_over(left) == "bob: the canary gets 25 %"
    assert machines.stands("b").taken_over(found) == ""
    with pytest.raises(TakenOver, match="is somebody else's now: bob"):
        machines.rollout("a")._still_ours(left)
    after = machines.stands("a").open()
    assert after is not None
    assert (after.step_began, after.begun) == (0.0, 3)


def test_another_release_waits_for_it(machines: Machines) -> None:
    machines.left_by_a()
    with pytest.raises(ConfigError, match="prod-7 is at 25 % of the traffic, begun by ann"):
        machines.rollout("b").run("prod-8", "bob")


def test_what_was_decided_elsewhere_is_finished_not_watched_again(machines: Machines) -> None:
    stand = machines.left_by_a()
    stand.state, stand.reasons = "rolling_back", ("2 % more of its answers fail",)
    machines.stands("a").turn(stand, "rollout.stopping", "back")
    outcome = machines.rollout("b").run("prod-7", "bob")
    assert (outcome.state, outcome.reasons) == ("rolled_back", ("2 % more of its answers fail",))
    assert machines.weight() == 0


def test_a_canary_that_nobody_watches_is_taken_back_too_and_none_is_none(machines: Machines) -> None:
    assert machines.rollout("b").abort("bob") is None
    (machines.root / "weight").write_text("30")
    outcome = machines.rollout("b").abort("bob", found="prod-9")
    assert outcome is not None
    assert (outcome.release, outcome.weight, machines.weight()) == ("prod-9", 30, 0)


def test_what_is_the_champion_already_is_not_said_to_be_taken_back(machines: Machines) -> None:
    stand = machines.left_by_a()
    stand.state = "promoting"
    machines.stands("a").turn(stand, "rollout.weight", "25 % held")
    (machines.root / "weight").write_text("100")
    outcome = machines.rollout("b").abort("bob")
    assert outcome is not None
    assert outcome.state == "promoted"
    assert machines.weight() == 100


def test_a_canary_goes_though_the_journal_cannot_be_written(machines: Machines) -> None:
    stand = machines.left_by_a()
    rollout = machines.rollout("a")
    (machines.root / "a-file").write_text("no folder")
    rollout.journal = Journal(machines.root, "a-file/", "prod")
    rollout._back(stand, ("a fault",))
    assert json.loads(machines.file("a").read_text())["state"] == "rolling_back"
    with pytest.raises(PlatformError):
        rollout._finish(stand)
    assert machines.weight() == 0


def test_somebody_who_stops_it_is_told_that_nobody_watches_the_canary(machines: Machines) -> None:
    machines.left_by_a()
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        if len(told) == 2:
            raise KeyboardInterrupt

    rollout = machines.rollout("a")
    rollout.say = say
    with pytest.raises(KeyboardInterrupt):
        rollout.run("prod-7", "ann")
    assert "prod-7 keeps 25 % and nobody watches it" in told[-1] and "--abort" in told[-1]
    assert machines.weight() == 25
    assert machines.stands("b").open() is not None
