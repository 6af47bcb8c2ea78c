"""Which findings block, by the tier of the service."""

from __future__ import annotations

from collections.abc import Mapping

from carrental_mlops.governance.families import FAMILIES, family_of
from carrental_mlops.governance.finding import Finding, Severity

_ALL = frozenset(FAMILIES)
_INTERNAL = frozenset(digit for digit, family in FAMILIES.items() if family.holds_internal)
BLOCKS: Mapping[int, Mapping[Severity, frozenset[str]]] = {
    1: {Severity.ERROR: _ALL, Severity.WARNING: _ALL},
    2: {Severity.ERROR: _ALL},
    3: {Severity.ERROR: _INTERNAL},
}
"""Tier to severity to the families, first digits of codes, of which it blocks."""


def blocks(finding: Finding, tier: int) -> bool:
    """Whether `finding` blocks a service of `tier`: 1 takes money or decides about people, 3 is internal.

    An unknown tier is held as tier 1.
    """
    families = BLOCKS.get(tier, BLOCKS[1]).get(finding.severity, frozenset())
    return family_of(finding.code) in families
