"""The end of `make e2e`: a table of passed, failed and skipped, and a failure for each skip that nobody agreed to.

Agreed skips stand in tests/e2e/skips.txt, one a line: a pattern of the test's id, then `#` and the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

_WORDS = ("passed", "failed", "skipped")


@dataclass
class Results:
    """What each test came to, as it came."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By file: how many of each word."""
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By file."""
    skips: dict[str, str] = field(default_factory=dict)
    """By id of a skipped test or file: why."""

    def add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Count a skip, a failure in any phase of a test or at collection, or a call that passed."""
        file = report.nodeid.split("::")[0]
        self.seconds[file] += getattr(report, "duration", 0.0)
        if report.skipped:
            self.counts[file]["skipped"] += 1
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skips[report.nodeid] = why.removeprefix("Skipped: ")
        elif report.failed:
            self.counts[file]["failed"] += 1
        elif report.when == "call":
            self.counts[file]["passed"] += 1

    def unagreed(self, agreed: Mapping[str, str]) -> dict[str, str]:
        """The skips that no pattern of `agreed` (pattern to reason) matches, by id: why."""
        return {
            test: why for test, why in self.skips.items() if not any(fnmatchcase(test, pattern) for pattern in agreed)
        }

    def table(self) -> list[str]:
        """One line a file, and a sum."""
        width = max(map(len, self.counts), default=10)
        lines = [f"{'':{width}}  " + "  ".join(f"{word:>7}" for word in (*_WORDS, "seconds"))]
        for file, count in sorted(self.counts.items()):
            numbers = "  ".join(f"{count[word]:7d}" for word in _WORDS)
            lines.append(f"{file:{width}}  {numbers}  {self.seconds[file]:7.1f}")
        total: Counter[str] = sum(self.counts.values(), Counter())
        numbers = "  ".join(f"{total[word]:7d}" for word in _WORDS)
        return [*lines, f"{'all':{width}}  {numbers}  {sum(self.seconds.values()):7.1f}"]


def agreed_skips(path: Path) -> dict[str, str]:
    """Pattern to reason, of a file of `pattern  # reason` lines.

    Raises:
        ValueError: A line has no reason.
    """
    agreed = {}
    for line in path.read_text().splitlines():
        pattern, _, reason = (part.strip() for part in line.partition("#"))
        if pattern and not reason:
            raise ValueError(f"{path.name}: `{pattern}` says no reason; write it after `#`")
        if pattern:
            agreed[pattern] = reason
    return agreed


class E2eTable:
    """pytest plugin: counts every report, prints the table, fails on skips that are not agreed."""

    def __init__(self, agreed: Path) -> None:
        self._agreed = agreed_skips(agreed)
        self._where = agreed.name
        self._results = Results()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended."""
        self._results.add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of end-to-end tests was collected, skipped as a whole, or could not be read."""
        if (report.skipped or report.failed) and report.nodeid.startswith("tests/e2e/"):
            self._results.add(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn a good end into a failure where a skip is not agreed."""
        if exitstatus == pytest.ExitCode.OK and self._results.unagreed(self._agreed):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table and what was skipped, why."""
        terminalreporter.section("end to end")
        for line in self._results.table():
            terminalreporter.write_line(line)
        unagreed = self._results.unagreed(self._agreed)
        for test, why in sorted(self._results.skips.items()):
            mark = "SKIP NOT AGREED" if test in unagreed else "skip agreed"
            terminalreporter.write_line(f"{mark}: {test}: {why}", red=test in unagreed)
        if unagreed:
            advice = f"{len(unagreed)} skipped outside {self._where}: install what they want, or agree on them there"
            terminalreporter.write_line(advice, red=True)
