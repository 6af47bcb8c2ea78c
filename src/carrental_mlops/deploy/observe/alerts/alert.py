"""What an alert is: expression, urgency, a tree of causes and the first three commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info"]
"""`critical` wakes somebody, `warning` waits for the working day, `info` for the next planning."""
Urgency = Literal["now", "soon", "later"]
SEVERITY: dict[Urgency, tuple[Severity, Severity, Severity]] = {
    "now": ("critical", "critical", "warning"),
    "soon": ("critical", "warning", "info"),
    "later": ("warning", "warning", "info"),
}
"""Urgency to severity in tiers 1, 2 and 3."""


@dataclass(frozen=True)
class Cause:
    """A branch of the cause tree."""

    what: str
    shown_by: str
    """What one sees where this is the cause."""
    then: str
    """What is done about it."""


@dataclass(frozen=True)
class Alert:
    """One alert."""

    name: str
    expr: str
    hold: str
    """How long the expression must be true, in Prometheus' notation."""
    urgency: Urgency
    summary: str
    """What is wrong, for somebody who was asleep; `{{ $value }}` is the expression's."""
    causes: tuple[Cause, ...]
    """Most likely first."""
    commands: tuple[str, str, str]
    """What to type, in order; the first one's output names the cause."""
