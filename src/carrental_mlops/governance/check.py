"""`crm check`: every rule asked of a model repo."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.governance import cache, mending
from carrental_mlops.governance.finding import Finding, MendedFile, Severity
from carrental_mlops.governance.rule import Rule
from carrental_mlops.governance.score import raises, score
from carrental_mlops.governance.tiers import blocks
from carrental_mlops.governance.view import RepoView
from carrental_mlops.governance.waivers import Waiver, apply

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


@dataclass(frozen=True)
class RuleTime:
    """One rule and how long its answer took."""

    rule: str
    seconds: float
    kept: bool
    """Whether the answer is the one of an earlier check, nothing that it reads having changed."""


@dataclass(frozen=True)
class CheckResult:
    """What `crm check` says of a repo."""

    service: str
    tier: int
    """Of crm.yaml; 1 where that cannot be read."""
    findings: tuple[Finding, ...]
    """Those that nobody waived, the worst first."""
    waived: tuple[tuple[Finding, Waiver], ...]
    asked: tuple[RuleTime, ...]
    whole: bool
    """Whether every rule was asked; the score of a part speaks of that part alone."""

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that block a service of this tier."""
        return tuple(finding for finding in self.findings if blocks(finding, self.tier))

    @property
    def blocked(self) -> bool:
        """Whether any finding blocks."""
        return bool(self.blocking)

    @property
    def score(self) -> int:
        """0 to 100; see `governance/score.py`."""
        return score(self.findings, [finding for finding, _ in self.waived])

    @property
    def raises(self) -> tuple[tuple[str, float], ...]:
        """Code to the points that mending its findings would bring, most first."""
        return raises(self.findings, [finding for finding, _ in self.waived])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "service": self.service,
            "tier": self.tier,
            "package": __version__,
            "score": self.score,
            "whole": self.whole,
            "blocked": self.blocked,
            "findings": [{**f.to_json(), "blocks": blocks(f, self.tier)} for f in self.findings],
            "waived": [{**f.to_json(), "waiver": w.model_dump(mode="json")} for f, w in self.waived],
            "raises": [{"code": code, "points": points} for code, points in self.raises],
        }


def check(
    root: Path,
    *,
    only: Sequence[str] = (),
    today: datetime.date | None = None,
    keep: bool = True,
    tell: Callable[[str], None] | None = None,
) -> CheckResult:
    """Ask every rule of the model repo at `root`; nothing outside `.crm/check` is written.

    Args:
        root: the repo, with `config/crm.yaml`.
        only: beginnings of codes, such as `CRM1` or `CRM601`; none: all. That one of them could not be looked for is
            told in any case.
        today: for what expires; None: the day of now, UTC.
        keep: read and write what earlier checks found, by digest of what a rule reads.
        tell: is told the name of each rule that takes its time, before it is asked.
    """
    from carrental_mlops.governance.rules import RULES

    view = RepoView(root.resolve(), today or datetime.datetime.now(datetime.UTC).date())
    wanted = [rule for rule in RULES if _is_wanted(rule, only)]
    asked, findings = _answers(wanted, view, keep, tell or (lambda _: None))
    missing = tuple(code.number for rule in wanted for code in rule.codes if code.passing)
    told = (*only, *missing) if only else ("CRM",)
    found = apply(view, [f for f in findings if f.code.startswith(told)], whole=not only)
    standing = [f for f in found.standing if f.code.startswith(told)]
    return CheckResult(
        service=view.config.service if view.config else view.root.name,
        tier=view.config.tier if view.config else 1,
        findings=tuple(sorted(standing, key=lambda f: (_ORDER[f.severity], f.code, f.path or "", f.line or 0, f.what))),
        waived=found.waived,
        asked=tuple(asked),
        whole=not only,
    )


def mend(root: Path, result: CheckResult, *, dry_run: bool = False) -> tuple[tuple[Finding, MendedFile], ...]:
    """Apply the mends that are safe by machine, in a dry run only work them out; each with what it changes.

    Raises:
        PlatformError: a file cannot be written; it is as it was, the mends before it stand.
    """
    done = []
    for finding in result.findings:
        if finding.fix is not None:
            change = finding.fix(root.resolve())
            if not dry_run:
                mending.apply(root.resolve(), change)
            done.append((finding, change))
    return tuple(done)


def _is_wanted(rule: Rule, only: Sequence[str]) -> bool:
    return not only or any(code.number.startswith(tuple(only)) for code in rule.codes)


def _answers(
    rules: Sequence[Rule], view: RepoView, keep: bool, tell: Callable[[str], None]
) -> tuple[list[RuleTime], list[Finding]]:
    """What each rule says, in their order; those that work in another process begin first."""
    _ = view.files, view.configs  # read once, before threads ask for them
    with ThreadPoolExecutor(max_workers=2) as beside:
        begun = {rule.name: beside.submit(_ask, rule, view, keep, tell) for rule in rules if rule.apart}
        told = {rule.name: _ask(rule, view, keep, tell) for rule in rules if not rule.apart}
        told |= {name: future.result() for name, future in begun.items()}
    return [told[rule.name][0] for rule in rules], [finding for rule in rules for finding in told[rule.name][1]]


def _ask(rule: Rule, view: RepoView, keep: bool, tell: Callable[[str], None]) -> tuple[RuleTime, list[Finding]]:
    begun = time.monotonic()
    key = cache.key_of(rule, view) if keep else None
    found = cache.kept(rule, view, key) if key else None
    if found is not None:
        return RuleTime(rule.name, time.monotonic() - begun, kept=True), found
    if rule.reads is not None:
        tell(rule.name)
    found = list(rule.find(view))
    passing = {code.number for code in rule.codes if code.passing}
    if key and not any(finding.code in passing for finding in found):
        cache.keep(rule, view, key, found)
    return RuleTime(rule.name, time.monotonic() - begun, kept=False), found
