"""An upgrade as Markdown, fit for a merge request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carrental_mlops.governance.check import CheckResult
    from carrental_mlops.upgrade.override_report import OverrideReport
    from carrental_mlops.upgrade.phases import Outcome

_SHOWN = 20
"""Findings of `crm check`; the command says them all."""


def merge_request_text(outcome: Outcome, overrides: OverrideReport | None, checked: CheckResult | None) -> str:
    """What changed, what is left to a person, what was declined, what overrides mean, what `crm check` says."""
    parts = [*_head(outcome), *_ledger(outcome)]
    if overrides is not None:
        parts += ["", overrides.markdown().rstrip()]
    if checked is not None:
        parts += _check(checked)
    return "\n".join(parts).rstrip() + "\n"


def _head(outcome: Outcome) -> Iterator[str]:
    yield f"# Upgrade carrental-mlops {outcome.version_from} to {outcome.version_to}"
    yield ""
    by_hand = "resolved by hand" if outcome.commit else "in conflict"
    yield f"{len(outcome.changed)} files change, {len(outcome.unmerged)} {by_hand}."
    yield from _listed(by_hand.capitalize(), (f"`{path}`" for path in outcome.unmerged))
    yield from _listed("What git says of the conflicts", outcome.conflicts)
    clean = [path for path in outcome.changed if path not in outcome.unmerged]
    yield from _listed("Changed", (f"`{path}`" for path in clean))
    yield from _listed("Notes", outcome.notes)
    if outcome.stash:
        yield ""
        yield f"Your uncommitted work no longer fits and lies in the stash: `git stash apply {outcome.stash}`"


def _ledger(outcome: Outcome) -> Iterator[str]:
    yield from _listed("Declined before, offered again", (f"`{path}`" for path in outcome.returned))
    if not outcome.ledger:
        return
    yield ""
    yield "## Declined"
    yield ""
    yield "Changes of the template that this repo does not hold. They come back at the next upgrade, unless"
    yield "`crm upgrade waive PATH --reason TEXT --until DATE` says why not."
    for entry in outcome.ledger:
        waived = f", waived until {entry.until} by {entry.by}: {entry.reason}" if entry.until else ""
        yield ""
        yield f"<details><summary>{entry.path} (since {entry.base}{waived})</summary>"
        yield ""
        yield "```diff"
        yield entry.patch.rstrip("\n").encode("utf-8", "replace").decode()
        yield "```"
        yield "</details>"


def _check(checked: CheckResult) -> Iterator[str]:
    yield ""
    yield f"## crm check: {checked.score} of 100, {len(checked.blocking)} blocking"
    yield ""
    for finding in checked.findings[:_SHOWN]:
        place = f" {finding.path}{f':{finding.line}' if finding.line else ''}" if finding.path else ""
        yield f"- {finding.code} {finding.severity}{place}: {finding.what}"
    if len(checked.findings) > _SHOWN:
        yield f"- and {len(checked.findings) - _SHOWN} more: `crm check`"


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    found = list(items)
    if found:
        yield ""
        yield f"**{title}**"
        yield ""
        yield from (f"- {item}" for item in found)
