"""What a rule says of a model repo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Severity(StrEnum):
    """How bad it is; the service's tier says which of them block."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class MendedFile:
    """What a mend makes of one file."""

    path: str
    """Relative to the repo, with `/`."""
    before: bytes | None
    """None where there is no such file."""
    after: bytes
    executable: bool | None = None
    """Whether it may be run; None: as it is."""


Mend = Callable[[Path], MendedFile]
"""Of the repo at a root, the change that mends it; writes nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    """`CRM` and three digits; a page of `docs/` explains it."""
    severity: Severity
    what: str
    """One sentence: what was found and what was expected."""
    mend: str
    """The command or the edit that mends it."""
    path: str | None = None
    """Relative to the repo, with `/`; None where it is about the repo as a whole."""
    line: int | None = None
    """From 1."""
    fix: Mend | None = field(default=None, compare=False, repr=False)
    """The mend, which `governance/mending.py` applies; None where that is not safe by machine."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `fixable` says whether `--fix` would mend it."""
        named = {name: getattr(self, name) for name in ("code", "severity", "what", "mend", "path", "line")}
        return {**named, "severity": str(self.severity), "fixable": self.fix is not None}
