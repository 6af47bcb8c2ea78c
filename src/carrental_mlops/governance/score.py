"""How well a repo keeps the rules, in one number, and what would raise it most.

Each family of rules has a share of 100. A family without findings gives its whole share; each error halves what is left
of it, a warning takes a quarter, a note 2 %, a waived finding a tenth, whatever it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from carrental_mlops.governance.families import FAMILIES, family_of
from carrental_mlops.governance.finding import Finding, Severity

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
    left = {digit: float(family.share) for digit, family in FAMILIES.items()}
    for finding in findings:
        left[family_of(finding.code)] *= _LEFT[finding.severity]
    for finding in waived:
        left[family_of(finding.code)] *= _LEFT_WAIVED
    return sum(left.values())
