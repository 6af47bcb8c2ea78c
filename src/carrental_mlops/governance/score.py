"""How well a repo keeps the rules, in one number, and what would raise it most.

Each family of rules has a share of 100. A family without findings gives its whole share; each error halves what is left
of it, a warning takes a quarter, a note 2 %, a waived finding a tenth, whatever it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from carrental_mlops.governance.finding import Finding, Severity

SHARES: Mapping[str, int] = {"1": 15, "2": 10, "3": 20, "4": 10, "5": 15, "6": 15, "7": 10, "8": 5}
"""First digit of a code to its family's share of the score; 100 together."""
_LEFT: Mapping[Severity, float] = {Severity.ERROR: 0.5, Severity.WARNING: 0.75, Severity.NOTE: 0.98}
_LEFT_WAIVED = 0.9


def score(findings: Iterable[Finding], waived: Iterable[Finding] = ()) -> int:
    """0 to 100, rounded down, so that 100 means: nothing found, nothing waived."""
    return math.floor(_points(findings, waived) + 1e-9)


def raises(findings: Sequence[Finding], waived: Sequence[Finding] = ()) -> tuple[tuple[str, float], ...]:
    """Code to the points that mending all its findings would bring, most first."""
    now = _points(findings, waived)
    gains = {
        code: round(_points((f for f in findings if f.code != code), (f for f in waived if f.code != code)) - now, 1)
        for code in {f.code for f in (*findings, *waived)}
    }
    return tuple(sorted(gains.items(), key=lambda one: (-one[1], one[0])))


def _points(findings: Iterable[Finding], waived: Iterable[Finding]) -> float:
    left = {family: float(share) for family, share in SHARES.items()}
    for finding in findings:
        left[finding.code[3]] *= _LEFT[finding.severity]
    for finding in waived:
        left[finding.code[3]] *= _LEFT_WAIVED
    return sum(left.values())
