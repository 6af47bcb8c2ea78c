"""What is left of a load test: an HTML page, JUnit XML, the figures as JSON, and the script."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from carrental_mlops.files import whole_file
from carrental_mlops.loadtest.chart import curves
from carrental_mlops.loadtest.junit import junit
from carrental_mlops.loadtest.k6 import K6Run, Measured
from carrental_mlops.loadtest.scenario import MIN_SAMPLES, Scenario
from carrental_mlops.loadtest.target import Target
from carrental_mlops.loadtest.verdict import Verdict, checks_of

_TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Record:
    """All that the report tells of one load test."""

    id: str
    started: datetime
    target: Target
    scenario: Scenario
    promised_rps: float
    run: K6Run
    verdict: Verdict
    rows: str
    """Where the requests' rows came from."""
    made_up: bool
    machine: dict[str, str]
    """What it ran on, by name."""
    service_cpu_ms: float | None
    """CPU time of the service a request (ms); None where it does not tell."""

    @property
    def held_rps(self) -> int | None:
        """Highest rate of a step in which every check held, judged or not; None where there was none."""
        limits = self.scenario.limits
        held = [m.step.rps for m in self.run.measured if all(check.passed for check in checks_of(m, limits))]
        return max(held, default=None)

    def notes(self) -> list[str]:
        """What a reader must know before believing the figures."""
        found = []
        if self.scenario.most_rps < self.promised_rps:
            found.append(f"Judged at {self.scenario.most_rps} requests/s at most; {self.promised_rps:g} are promised.")
        if self.made_up:
            found.append("The rows are made up: stored features and branches of the model may differ from real ones.")
        if self.target.on_this_machine:
            found.append("Service and load generator shared this machine.")
        return found


def as_json(record: Record) -> dict[str, Any]:
    """The figures, for programs."""
    limits = record.scenario.limits
    return {
        "id": record.id,
        "started": record.started.isoformat(),
        "service": record.target.name,
        "url": record.target.url,
        "model": {"version": record.target.version, "digest": record.target.digest},
        "profile": record.scenario.profile,
        "passed": record.verdict.passed,
        "reasons": record.verdict.reasons(),
        "notes": record.notes(),
        "slo": {"p99_ms": limits.p99_ms, "rps": record.promised_rps, "error_rate": limits.error_rate},
        "held_rps": record.held_rps,
        "steps": [_step(measured) for measured in record.run.measured],
        "checks": [asdict(check) for check in record.verdict.checks],
        "statuses": dict(record.run.statuses),
        "rows": {"source": record.rows, "made_up": record.made_up},
        "machine": record.machine,
        "service_cpu_ms_per_request": record.service_cpu_ms,
    }


def write(record: Record, script: str, folder: Path) -> None:
    """`report.html`, `junit.xml`, `summary.json` and `scenario.js` in `folder`, each whole or not at all.

    Raises:
        PlatformError: one cannot be written.
    """
    name = f"{record.target.name}.{record.scenario.profile}"
    files = {
        "scenario.js": script,
        "summary.json": json.dumps(as_json(record), indent=2, ensure_ascii=False) + "\n",
        "junit.xml": junit(record.verdict, name, record.scenario.seconds),
        "report.html": html(record),
    }
    for file, text in files.items():
        with whole_file(folder / file) as draft:
            draft.write_text(text, encoding="utf-8")


def html(record: Record) -> str:
    """The page; it needs nothing from elsewhere."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(r=record, charts=_charts(record), enough=MIN_SAMPLES)


def _step(measured: Measured) -> dict[str, Any]:
    told = {k: v for k, v in asdict(measured).items() if k != "step"}
    return {**asdict(measured.step), **told, "error_rate": measured.error_rate, "sent_rps": measured.rps}


def _charts(record: Record) -> dict[str, str]:
    """Latency and errors by arrival rate, or by time where the rate does not only rise."""
    measured, limits = record.run.measured, record.scenario.limits
    if not measured:
        return {}
    rates = [float(m.step.rps) for m in measured]
    if all(a < b for a, b in itertools.pairwise(rates)):
        xs, x_label = rates, "requests due a second"
    else:
        xs, x_label = [m.step.start_s + m.step.seconds / 2 for m in measured], "seconds since the start"
    latency = {
        "p50": [m.p50_ms if m.good else math.nan for m in measured],
        "p95": [m.p95_ms if m.good else math.nan for m in measured],
        "p99": [m.p99_ms if m.good >= MIN_SAMPLES else math.nan for m in measured],
    }
    errors = {"failed": [100 * m.error_rate for m in measured]}
    return {
        "Latency": curves(xs, latency, x_label, "ms, by powers of ten", limits.p99_ms, log=True),
        "Errors": curves(xs, errors, x_label, "% of requests due", 100 * limits.error_rate),
    }
