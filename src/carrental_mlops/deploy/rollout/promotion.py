"""A release takes over from the one before: scored, then weight by weight, watched; it goes back by itself.

What a killed process leaves stands in the journal; the next `run` goes on from there, on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.config.deploy import RolloutPlan
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.releases.journal import Journal, Kind
from carrental_mlops.deploy.rollout.analysis import Look, Watch
from carrental_mlops.deploy.rollout.counters import Counters
from carrental_mlops.deploy.rollout.stand import Stand, Stands
from carrental_mlops.deploy.rollout.traffic import Traffic
from carrental_mlops.errors import ConfigError, CrmError, GateRefused, PlatformError
from carrental_mlops.files import locked

LOOK_S = 5.0
"""Between two looks (seconds)."""
_BLIND_S = 60.0
"""A canary that nobody can watch for so long goes back (seconds)."""
_ALL = 100
_LEAST = 100
"""Answers that a canary must have given before a step is done."""
_PATIENCE = 3
"""So many times as long as planned a step may last until they are there."""
_TRIES, _PAUSE_S = 30, 2.0
"""Tries to take the canary away, and the pause before the second one (seconds); at most 30 between two."""


@dataclass(frozen=True)
class RolloutOutcome:
    """How a rollout ended."""

    state: Literal["promoted", "rolled_back"]
    release: str
    reasons: tuple[str, ...] = ()
    """Why it went back."""
    weight: int = 0
    """What the canary had when it was stopped (percent)."""
    seconds: float = 0
    """From the start of that step to the stop."""


class TakenOver(PlatformError):
    """Somebody has gone on with this rollout, or ended it, on another machine."""


@dataclass
class Rollout:
    """One service in one environment.

    Args:
        file: of this machine, for what was counted; nobody else on it runs a rollout meanwhile.
        traffic: splits requests.
        prometheus: where champion and canary are watched.
        labels: of their series there, such as `model` and `namespace`.
        plan: weights, minutes and limits.
        journal: told of every change; says on every machine where the rollout stands.
        say: shows progress, one line a call.
        look_s: between two looks (seconds).
    """

    file: Path
    traffic: Traffic
    prometheus: Prometheus
    labels: Mapping[str, str]
    plan: RolloutPlan
    journal: Journal
    say: Callable[[str], None] = lambda text: None
    look_s: float = LOOK_S

    def run(self, release: str, by: str) -> RolloutOutcome:
        """Take `release` to all of the traffic, or back; one that was begun before goes on.

        Raises:
            ConfigError: another release is being rolled out.
            PlatformError: another process is at it; or the canary could not be taken away: it says what it still gets.
        """
        with self._alone():
            stand = self._stands.open()
            if stand and stand.release != release:
                raise ConfigError(
                    f"{stand.release} is at {self.traffic.weight()} % of the traffic, begun by {stand.by}",
                    "let it end, or take it back first: crm promote --abort",
                )
            if stand:
                self.say(f"going on with {release}: {stand.state}, step {stand.step + 1} of {len(self.plan.steps)}")
            stand = stand or Stand(release, by, time.time())
            while stand.state == "canary":
                try:
                    self._step(stand)
                except TakenOver:
                    raise
                except KeyboardInterrupt:
                    kept = f"{release} keeps {stand.weight} % and nobody watches it"
                    self.say(f"{kept}: the same command goes on, crm promote --abort takes it back")
                    raise
                except CrmError as error:  # whatever it was: a canary that nobody watches must not stay
                    self._back(stand, (f"the step could not be taken: {error.what}",))
            return self._finish(stand)

    def abort(self, by: str, found: str | None = None) -> RolloutOutcome | None:
        """Take the canary away; a process that watches it, here or elsewhere, ends at its next look.

        Args:
            by: who.
            found: id of a canary that is there though no rollout was begun; None where none is.

        Returns:
            `promoted` where it was too late, the canary having become the champion; None where there is no canary.

        Raises:
            PlatformError: the canary could not be taken away.
        """
        stand = self._stands.open()
        if stand is None and found is None:
            return None
        weight = self.traffic.weight()
        if stand and stand.state == "promoting" and weight == _ALL:
            self.say(f"too late: {stand.release} is the champion already; crm rollback takes it back")
            return self._finish(stand)
        stand = stand or Stand(found or "", by, time.time(), weight=weight)
        stand.by = by
        self._back(stand, (f"aborted by {by}",))
        return self._finish(stand)

    def _step(self, stand: Stand) -> None:
        """Watch one weight to its end, then go on, or back."""
        weight = self.plan.steps[stand.step]
        begins = not stand.step_began
        if begins:
            stand.step_began, stand.begun = time.time(), stand.begun + 1
            stand.last, stand.watch = {}, {}
        watch = Watch(Counters(self.labels, stand.last), self.plan, stand.begun - 1, stand.step_began, stand.watch)
        self._stands.keep(stand)
        if not watch.counters.last:
            watch.counters.since_last(self.prometheus)  # what was counted before is not the step's
        moves = self.traffic.weight() != weight
        if moves:
            self.traffic.set(weight)
        stand.weight = weight
        if begins or moves:
            self._tell(stand, "rollout.weight", f"the canary gets {weight} %", {"weight": weight})
        self._watched(stand, watch)

    def _watched(self, stand: Stand, watch: Watch) -> None:
        ends = stand.step_began + 60 * self.plan.step_minutes
        latest = stand.step_began + 60 * self.plan.step_minutes * _PATIENCE
        seen_at = time.time()
        while True:
            time.sleep(self.look_s)
            self._still_ours(stand)
            try:
                look = watch.look(self.prometheus)
                seen_at = look.at
            except PlatformError as error:
                self.say(error.what)
                if time.time() - seen_at > _BLIND_S:
                    self._back(stand, (f"nobody could watch it for {_BLIND_S:.0f} s: {error.what}",))
                    return
                continue
            stand.last, stand.watch = watch.counters.last, watch.state
            self._stands.keep(stand)
            self._show(stand, look, ends)
            if look.stop:
                self._back(stand, look.stop, look)
                return
            if look.at >= ends and look.canary >= _LEAST:
                self._forward(stand, look)
                return
            if look.at >= latest:
                self._back(stand, (f"{look.canary} answers in {_PATIENCE} times the step are too few to judge",), look)
                return

    def _forward(self, stand: Stand, look: Look) -> None:
        held = f"{self.plan.steps[stand.step]} % held: {look.said()}"
        stand.step, stand.step_began = stand.step + 1, 0.0
        stand.last, stand.watch = {}, {}
        if stand.step == len(self.plan.steps):
            stand.state = "promoting"
        self._tell(stand, "rollout.weight", held, {"look": _json(look)})

    def _back(self, stand: Stand, reasons: tuple[str, ...], look: Look | None = None) -> None:
        """Decide that the canary goes; a journal that is away keeps it no longer."""
        stand.state, stand.reasons = "rolling_back", reasons
        said = f"back: {'; '.join(reasons)}"
        self.say(said)
        stand.watch = {"look": _json(look)} if look else {}
        try:
            self._stands.turn(stand, "rollout.stopping", said)
        except CrmError as error:
            self.say(f"the journal does not say so: {error.what}")

    def _finish(self, stand: Stand) -> RolloutOutcome:
        took = time.time() - (stand.step_began or stand.began)
        if stand.state == "promoting":
            self._insist(self.traffic.promote, f"{stand.release} could not be made the champion")
            self._tell(stand, "rollout.promoted", f"{stand.release} answers everything")
            return RolloutOutcome("promoted", stand.release)
        self._insist(self.traffic.roll_back, f"the canary {stand.release} could not be taken away")
        said = "; ".join(stand.reasons)
        figures = {"weight": stand.weight, "seconds": round(took, 1), **stand.watch}
        self._tell(stand, "rollout.rolled_back", said, figures)
        return RolloutOutcome("rolled_back", stand.release, stand.reasons, stand.weight, took)

    def _insist(self, act: Callable[[], None], what: str) -> None:
        """Do it, again and again: half-way is the one place where a rollout must not stay."""
        pause = _PAUSE_S
        for left in reversed(range(_TRIES)):
            try:
                act()
                return
            except PlatformError as error:
                self.say(f"{what}: {error.what}; {left} tries are left")
                if not left:
                    raise PlatformError(
                        f"{what}, and still gets traffic: {error.what}", "crm promote --abort, once it answers", True
                    ) from error
            time.sleep(pause)
            pause = min(30.0, 1.5 * pause)

    def _show(self, stand: Stand, look: Look, ends: float) -> None:
        left = max(0.0, ends - look.at)
        self.say(f"{self.plan.steps[stand.step]:3} %  {left:5.0f} s left  {look.said()}")

    def _tell(self, stand: Stand, kind: Kind, said: str, data: dict[str, Any] | None = None) -> None:
        self.say(said)
        self._stands.turn(stand, kind, said, data)

    def _still_ours(self, stand: Stand) -> None:
        who = ""
        with suppress(PlatformError):
            who = self._stands.taken_over(stand)
        if who:
            raise TakenOver(f"the rollout of {stand.release} is somebody else's now: {who}", "crm status --env ENV")

    def _alone(self) -> Any:
        return locked(self.file.with_suffix(".lock"), timeout_s=1)

    @property
    def _stands(self) -> Stands:
        return Stands(self.file, self.journal)


def _json(look: Look) -> dict[str, Any]:
    """`look` without NaN, which JSON lacks."""
    told = {**vars(look), "p99_ms": [None if v != v else round(v, 3) for v in look.p99_ms]}
    return {**told, "evidence": {k: round(v, 3) for k, v in look.evidence.items()}, "stop": list(look.stop)}


def refusal(outcome: RolloutOutcome) -> GateRefused | None:
    """The error of a rollout that went back; None where it did not."""
    if outcome.state == "promoted":
        return None
    why = "; ".join(outcome.reasons)
    what = f"{outcome.release} was taken back at {outcome.weight} % after {outcome.seconds:.0f} s: {why}"
    return GateRefused(what, "crm diagnose SERVICE; mend it, and release again")
