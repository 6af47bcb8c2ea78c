"""Whether the SLO was held. What was not shown counts as missed: the verdict fails closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carrental_mlops.loadtest.k6 import K6Run, Measured
from carrental_mlops.loadtest.scenario import MIN_SAMPLES, Limits, Scenario

_LATE_MS = 20.0
_RATE_SLACK = 0.98


@dataclass(frozen=True)
class Check:
    """One thing that had to hold."""

    part: str
    """A step, or `run` for the whole."""
    name: str
    said: str
    """What was found and what is allowed."""
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """All checks; passed when there are some and all hold."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when the SLO was shown to be held."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def reasons(self) -> list[str]:
        """What did not hold, one sentence each."""
        return [f"{check.part}: {check.said}" for check in self.checks if not check.passed]


def judge(scenario: Scenario, run: K6Run, same_model: bool = True) -> Verdict:
    """The verdict on one run: k6 ended well, and every judged step held the limits.

    Args:
        scenario: what was planned.
        run: what k6 measured.
        same_model: the service answered with the same model before and after.
    """
    checks = [Check("run", "k6", run.problem or "k6 ended well", run.problem is None)]
    gone = "the service was gone, or answered with another model, when the test ended"
    checks.append(Check("run", "model", "one model from start to end" if same_model else gone, same_model))
    found = {measured.step: measured for measured in run.measured}
    judged = [step for step in scenario.steps if step.judged]
    if not judged:
        checks.append(Check("run", "steps", "no step to judge", False))
    for step in judged:
        measured = found.get(step)
        if measured is None:
            checks.append(Check(step.name, "measured", "nothing was measured", False))
        else:
            checks += checks_of(measured, scenario.limits)
    verdict = Verdict(tuple(checks))
    if run.crossed and verdict.passed:
        crossed = Check("run", "thresholds", "k6 says that a threshold was crossed; the figures do not show it", False)
        return Verdict((*verdict.checks, crossed))
    return verdict


def allowed_late_ms(limits: Limits) -> float:
    """The load generator's own delay (p99, ms) from which on its figures are not to be trusted."""
    return max(_LATE_MS, limits.p99_ms / 10)


def checks_of(m: Measured, limits: Limits) -> Iterator[Check]:
    """What has to hold in one step."""
    part, wanted = m.step.name, m.planned * _RATE_SLACK - 1
    yield Check(part, "rps", f"{m.rps:.1f} requests/s sent of {m.step.rps} planned", m.sent > 0 and m.sent >= wanted)
    yield Check(part, "dropped", f"{m.dropped} requests were due and not sent, 0 allowed", m.dropped == 0)
    share = f"{100 * m.error_rate:.3g} % of answers failed or missing, {100 * limits.error_rate:.3g} % allowed"
    yield Check(part, "error_rate", share, m.good > 0 and m.error_rate <= limits.error_rate)
    enough = m.good >= MIN_SAMPLES
    yield Check(part, "samples", f"{m.good} good answers, {MIN_SAMPLES} needed for a p99", enough)
    held = 0 < m.p99_ms <= limits.p99_ms
    yield Check(part, "p99_ms", f"p99 {m.p99_ms:.4g} ms, {limits.p99_ms:g} ms allowed", enough and held)
    late, most = m.late_p99_ms, allowed_late_ms(limits)
    said = f"load generator late by {late:.3g} ms (p99), {most:g} ms allowed; above, this machine is too busy to say"
    yield Check(part, "late_ms", said, 0 <= late <= most)
