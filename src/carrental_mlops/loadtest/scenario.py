"""What is asked of the service, and when: steps of constant arrival rates, from the profile and the SLO."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from carrental_mlops.config.models import Slo
from carrental_mlops.errors import ConfigError, nearest

Profile = Literal["smoke", "load", "stress", "soak", "spike"]
Kind = Literal["smoke", "load", "stress", "soak", "spike", "tune"]
"""A profile, or one run of the search for what a replica holds."""

MIN_SAMPLES = 100
"""Fewer good answers have no 99th percentile."""
_ENOUGH = 1.2 * MIN_SAMPLES
_SMOKE_RPS = 50.0


@dataclass(frozen=True)
class Limits:
    """What the service promises under load."""

    p99_ms: float
    rps: float
    error_rate: float

    @classmethod
    def of(cls, slo: Slo) -> Limits:
        """The limits in `slo`.

        Raises:
            ConfigError: it promises no latency, so there is nothing to test against.
        """
        if slo.p99_ms is None:
            raise ConfigError("crm.yaml: `slo` promises no p99_ms, so no load test can pass",
                              "set slo.p99_ms, or latency_class to real-time or near-real-time")  # fmt: skip
        return cls(slo.p99_ms, slo.rps, slo.error_rate)


@dataclass(frozen=True)
class Step:
    """Requests that come at a constant rate, whether or not those before them were answered."""

    name: str
    rps: int
    start_s: float
    seconds: float
    judged: bool = True
    """False: shown in the curve, no part of the verdict."""
    clients: int = 0
    """Above 0 the model is closed: so many clients, each asks when it was answered, and `rps` is 0."""


@dataclass(frozen=True)
class Scenario:
    """Steps one after the other, after a warm-up whose rate rises to that of the first."""

    profile: Kind
    steps: tuple[Step, ...]
    warm_up_s: float
    limits: Limits

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return self.steps[-1].start_s + self.steps[-1].seconds

    @property
    def most_rps(self) -> int:
        """Highest rate that the verdict is about."""
        return max(step.rps for step in self.steps if step.judged)

    @property
    def timeout_s(self) -> float:
        """A request without an answer for so long has failed."""
        return max(5.0, 4 * self.limits.p99_ms / 1e3)


@dataclass(frozen=True)
class _Shape:
    shares: tuple[float, ...]
    """Of the promised rps, one a step."""
    seconds: tuple[float, ...]


_SHAPES: Mapping[Profile, _Shape] = {
    "smoke": _Shape((1.0,), (3.0,)),
    "load": _Shape((0.25, 0.5, 0.75, 1.0), (30.0,) * 4),
    "stress": _Shape((0.5, 1.0, 1.5, 2.0, 3.0, 4.0), (30.0,) * 6),
    "soak": _Shape((0.8,) * 12, (300.0,) * 12),
    "spike": _Shape((0.2, 1.0, 0.2), (20.0, 30.0, 20.0)),
}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def scenario_of(
    profile: Profile, limits: Limits, duration_s: float | None = None, rps: float | None = None
) -> Scenario:
    """The scenario of `profile`; steps above the promised rate are shown, not judged.

    Args:
        profile: `smoke` one short step of at most 50 requests/s; `load` a quarter to all of the promised rate;
            `stress` up to four times as much; `soak` an hour at four fifths; `spike` from a fifth to all at once.
        limits: what is promised.
        duration_s: of all steps; None: as the profile has it, and long enough for a 99th percentile in each step.
        rps: takes the place of the promised rate.

    Raises:
        ConfigError: `profile` is none, or `duration_s` is too short to divide.
    """
    if profile not in _SHAPES:
        raise ConfigError(f"no profile `{profile}`", nearest(profile, _SHAPES))
    shape, full = _SHAPES[profile], rps or limits.rps
    if profile == "smoke" and rps is None:
        full = min(full, _SMOKE_RPS)
    rates = [max(1, round(full * share)) for share in shape.shares]
    if duration_s is None:
        lasting = [max(s, math.ceil(_ENOUGH / rate)) for s, rate in zip(shape.seconds, rates, strict=True)]
    else:
        lasting = [duration_s * s / sum(shape.seconds) for s in shape.seconds]
    if min(lasting) < 0.5:
        raise ConfigError(f"--duration {duration_s:g}: each of the {len(rates)} steps wants 0.5 s", "give more")
    judged_up_to = max(full, limits.rps)
    at = warm_up = min(5.0, max(1.0, lasting[0] / 5))
    steps = []
    for n, (rate, seconds) in enumerate(zip(rates, lasting, strict=True), 1):
        steps.append(Step(f"step_{n}", rate, at, seconds, rate <= max(1, round(judged_up_to))))
        at += seconds
    return Scenario(profile, tuple(steps), warm_up, limits)


def search_of(limits: Limits, rates: Sequence[int] = (), clients: Sequence[int] = (), seconds: float = 5) -> Scenario:
    """A run of the search for what one replica holds: open at `rates` (requests/s), else closed with `clients`.

    Args:
        limits: what is promised.
        rates: one a step, rising.
        clients: one a step, rising.
        seconds: of a step; longer where a 99th percentile wants more answers.
    """
    at, steps = 1.0, []
    for n, (rate, several) in enumerate([(r, 0) for r in rates] or [(0, c) for c in clients], 1):
        lasting = max(seconds, math.ceil(_ENOUGH / rate)) if rate else seconds
        steps.append(Step(f"step_{n}", rate, at, lasting, judged=False, clients=several))
        at += lasting
    return Scenario("tune", tuple(steps), 1.0, limits)


def seconds_of(text: str) -> float:
    """`90`, `90s`, `10m` or `1h` in seconds.

    Raises:
        ConfigError: it is something else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not found or float(found[1]) <= 0:
        raise ConfigError(f"--duration {text!r} is no length of time", "write 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]
