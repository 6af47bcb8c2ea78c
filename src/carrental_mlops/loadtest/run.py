"""One load test from the running service to the reports."""

from __future__ import annotations

import os
import platform
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carrental_mlops import __version__
from carrental_mlops.errors import CrmError, SloMissed
from carrental_mlops.loadtest.k6 import K6Run, find_k6, run_k6, script
from carrental_mlops.loadtest.report import Record, write
from carrental_mlops.loadtest.rows import Rows, bodies
from carrental_mlops.loadtest.scenario import Scenario
from carrental_mlops.loadtest.target import Target, target_at
from carrental_mlops.loadtest.verdict import judge


@dataclass(frozen=True)
class LoadTest:
    """What to test."""

    target: Target
    scenario: Scenario
    promised_rps: float
    rows: Rows
    folder: Path
    """Gets a folder for this test, or its files where `exact` is set."""
    exact: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    record: Record
    folder: Path

    def refusal(self) -> SloMissed | None:
        """The error to raise; None where the SLO was held."""
        if self.record.verdict.passed:
            return None
        reasons = self.record.verdict.reasons()
        more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return SloMissed(
            f"{self.record.target.name}: the load test did not pass: {'; '.join(reasons[:3])}{more}",
            f"see {self.folder / 'report.html'}",
        )


def run_load_test(test: LoadTest) -> Outcome:
    """Load the service, judge, write the reports; a missed SLO is part of the outcome.

    Raises:
        PlatformError: no k6, or a report cannot be written.
        DataError: the rows lack a field that the service wants.
    """
    binary, requests = find_k6(), bodies(test.rows, test.target.fields)
    started = datetime.now(UTC)
    identity = f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    load, cpu = _load(), test.target.cpu_seconds()
    run = run_k6(binary, test.scenario, test.target, identity, requests)
    record = Record(
        id=identity,
        started=started,
        target=test.target,
        scenario=test.scenario,
        promised_rps=test.promised_rps,
        run=run,
        verdict=judge(test.scenario, run, _is_same(test.target)),
        rows=f"{test.rows.source}, {len(test.rows.rows)} of them in turn",
        made_up=test.rows.made_up,
        machine=_machine(load, run),
        service_cpu_ms=_cpu_ms(cpu, test.target.cpu_seconds(), run),
    )
    folder = test.folder if test.exact else test.folder / identity
    write(record, script(test.scenario, test.target, identity), folder)
    return Outcome(record, folder)


def _is_same(target: Target) -> bool:
    try:
        now = target_at(target.url, target.name, target.token)
    except CrmError:
        return False
    return (now.version, now.digest) == (target.version, target.digest)


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _machine(load_before: str, run: K6Run) -> dict[str, str]:
    return {
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "load average (1, 5, 15 min) before": load_before,
        "load average (1, 5, 15 min) after": _load(),
        "CPU of k6": f"{run.cpu_s:.2f} s",
        "k6": run.version,
        "Python": platform.python_version(),
        "carrental-mlops": __version__,
    }


def _cpu_ms(before: float | None, after: float | None, run: K6Run) -> float | None:
    answered = sum(run.statuses.values())
    if before is None or after is None or after <= before or not answered:
        return None
    return 1e3 * (after - before) / answered
