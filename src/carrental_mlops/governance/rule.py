"""What a rule is: its codes, what it reads, and the function that finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from carrental_mlops.governance.finding import Finding, Mend, Severity
from carrental_mlops.governance.view import RepoView


@dataclass(frozen=True)
class Code:
    """One kind of finding; its page is `docs/reference/findings/<number>.md`."""

    number: str
    """`CRM` and three digits, never used twice; the first digit is the family."""
    severity: Severity
    """What it is unless a finding says less."""
    title: str
    """What was found, in a few words."""
    why: str
    """What goes wrong otherwise."""
    mend: str
    """What to do, for the page; a finding says it for its own case."""
    fixes: str = ""
    """What `crm check --fix` does, and where; empty where a person has to decide."""
    passing: bool = False
    """Whether another try may find otherwise with nothing of the repo changed: such findings are not kept."""

    def found(
        self,
        what: str,
        mend: str,
        path: str | None = None,
        line: int | None = None,
        fix: Mend | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this kind; the arguments are those of `Finding`."""
        return Finding(self.number, severity or self.severity, what, mend, path, line, fix)


def _nothing(_: RepoView) -> str:
    return ""


@dataclass(frozen=True)
class Rule:
    """One family, or part of one, that is looked for together."""

    name: str
    codes: tuple[Code, ...]
    find: Callable[[RepoView], Iterable[Finding]]
    reads: Callable[[RepoView], Iterable[str]] | None = None
    """Files, relative to the repo, that decide its findings; None: it is quick, and asked each time."""
    outside: Callable[[RepoView], str] = _nothing
    """Whatever else decides them, such as the state of a database, as text."""
    apart: bool = False
    """Whether its work is done by another process, so that it may run beside the others."""
