"""The search for the knee of one replica: how many requests a second it holds within its SLO."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.errors import PlatformError, SloMissed
from carrental_mlops.files import whole_file
from carrental_mlops.loadtest.k6 import K6Run, Measured, find_k6, run_k6
from carrental_mlops.loadtest.rows import Rows, bodies
from carrental_mlops.loadtest.scenario import Limits, Scenario, search_of
from carrental_mlops.loadtest.sizing import Knee, Sizing
from carrental_mlops.loadtest.target import Target
from carrental_mlops.loadtest.verdict import checks_of

_CLIENTS = (1, 2, 4, 8, 16, 32)
_SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the closed model's most, tried first."""
_NEAR = 1.05
"""Ratio of missed to held rate at which the knee is found."""
_TRIES = 6


@dataclass
class Search:
    """One search: asks `target`, remembers every step.

    Args:
        target: one replica.
        limits: what it promises.
        rows: sent in turn.
        seconds: of a step.
        tell: called with a line for each step.
    """

    target: Target
    limits: Limits
    rows: Rows
    seconds: float = 5
    tell: Callable[[str], None] = lambda line: None
    closed: list[Measured] = field(default_factory=list)
    open: list[Measured] = field(default_factory=list)
    _cpu_s: float = 0
    _answered: int = 0

    def knee(self) -> Knee:
        """What one replica holds: first with clients that wait, for the scale, then by arrival rates.

        Raises:
            SloMissed: it does not hold the lowest rate that was tried.
            PlatformError: no k6, or a run of it says nothing.
        """
        self.closed += self._run(search_of(self.limits, clients=_CLIENTS, seconds=max(2, self.seconds / 2)))
        most = max(m.good / m.step.seconds for m in self.closed)
        self._try([max(1, round(most * share)) for share in _SHARES])
        for _ in range(_TRIES):
            held, missed = self._bounds()
            if held and 0 < missed <= max(held * _NEAR, held + 1):
                break
            self._try([round((held * missed) ** 0.5) if missed else round(1.3 * held)])
        held, missed = self._bounds()
        if not missed:
            raise PlatformError(f"no rate up to {held} requests/s was missed", "run k6 on a machine of its own")
        cpu = 1e3 * self._cpu_s / self._answered if self._cpu_s and self._answered else None
        return Knee(held, missed, most, cpu, self.target.memory_bytes())

    def _try(self, rates: Sequence[int]) -> None:
        self.open += self._run(search_of(self.limits, rates=sorted(set(rates)), seconds=self.seconds))
        if not self._bounds()[0]:
            lowest = min(m.step.rps for m in self.open)
            reasons = [c.said for c in checks_of(self.open[0], self.limits) if not c.passed]
            what = f"one replica does not hold {lowest} requests/s: {'; '.join(reasons)}"
            raise SloMissed(what, "make the model or its features quicker, or promise less in `slo`")

    def _bounds(self) -> tuple[int, int]:
        """(highest rate held below every one missed, lowest missed); 0 where there is none."""
        missed = min((m.step.rps for m in self.open if not self._holds(m)), default=0)
        held = [m.step.rps for m in self.open if self._holds(m) and (not missed or m.step.rps < missed)]
        return max(held, default=0), missed

    def _holds(self, measured: Measured) -> bool:
        return all(check.passed for check in checks_of(measured, self.limits))

    def _run(self, scenario: Scenario) -> tuple[Measured, ...]:
        before = self.target.cpu_seconds()
        identity = f"tune-{datetime.now(UTC):%H%M%S}"
        run: K6Run = run_k6(find_k6(), scenario, self.target, identity, bodies(self.rows, self.target.fields))
        if run.problem or not run.measured:
            raise PlatformError(f"k6 says nothing: {run.problem}", "crm loadtest --profile smoke")
        after = self.target.cpu_seconds()
        if before is not None and after is not None:
            self._cpu_s += after - before
            self._answered += sum(run.statuses.values())
        for m in run.measured:
            wrong = {check.name for check in checks_of(m, self.limits) if not check.passed}
            if m.step.rps and wrong == {"late_ms"}:
                what = f"the load generator was late by {m.late_p99_ms:.3g} ms at {m.step.rps} requests/s"
                raise PlatformError(what, "run it where nothing else runs", retryable=True)
            asked = f"{m.step.clients} clients" if m.step.clients else f"{m.step.rps} requests/s"
            held = "" if m.step.clients else (", held" if self._holds(m) else ", missed")
            self.tell(f"{asked}: {m.good / m.step.seconds:.0f} good a second, p99 {m.p99_ms:.3g} ms{held}")
        return run.measured


def write_evidence(search: Search, knee: Knee, sizing: Sizing, folder: Path) -> Path:
    """`sizing-<instant>.json` in `folder`: what was measured, of which model, and what was made of it.

    Raises:
        PlatformError: it cannot be written.
    """
    now = datetime.now(UTC)

    def told(m: Measured) -> dict[str, Any]:
        figures = {k: v for k, v in asdict(m).items() if k != "step"}
        return {"rps": m.step.rps, "clients": m.step.clients, **figures}

    document = {
        "at": now.isoformat(timespec="seconds"),
        "package": __version__,
        "model": {"name": search.target.name, "version": search.target.version, "digest": search.target.digest},
        "slo": asdict(search.limits),
        "knee": asdict(knee),
        "sizing": asdict(sizing),
        "rows": search.rows.source,
        "closed": [told(m) for m in search.closed],
        "open": sorted((told(m) for m in search.open), key=lambda m: m["rps"]),
    }
    path = folder / f"sizing-{now:%Y%m%d-%H%M%S}.json"
    with whole_file(path) as draft:
        draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path
