"""The families of rules: the first digit of a code, and all that a family decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Findings of one kind of thing."""

    title: str
    share: int
    """Of the score; 100 over all families."""
    holds_internal: bool = False
    """Whether its errors block an internal service (tier 3) too."""


FAMILIES: Mapping[str, Family] = {
    "1": Family("Configuration and waivers", 15, holds_internal=True),
    "2": Family("Files of the template", 10, holds_internal=True),
    "3": Family("Hooks and pipelines", 20, holds_internal=True),
    "4": Family("Features and their sources", 10),
    "5": Family("Deployment", 15),
    "6": Family("Secrets and supply chain", 15, holds_internal=True),
    "7": Family("Evidence", 10),
    "8": Family("Documents and owners", 5),
}
"""First digit of a code to its family."""
CODE = rf"^CRM[{''.join(FAMILIES)}][0-9]{{2}}$"
"""What a code looks like."""


def family_of(code: str) -> str:
    """The family of a code such as `CRM205`: its first digit; empty where it has none."""
    return code.removeprefix("CRM")[:1]
