"""What rules found, kept by the digest of what they read: `.crm/check/<rule>.json`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.errors import PlatformError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.finding import Finding, MendedFile, Severity
from carrental_mlops.governance.rule import Rule
from carrental_mlops.governance.view import RepoView

FOLDER = Path(".crm") / "check"


def key_of(rule: Rule, view: RepoView) -> str | None:
    """What decides the rule's findings, as one digest; None for a rule that is asked each time."""
    if rule.reads is None:
        return None
    parts = (__version__, own_code(), sys.version, sys.executable, view.digest(rule.reads(view)), rule.outside(view))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def own_code() -> str:
    """Names, sizes and times of this package's files: a checkout that is edited keeps its version."""
    package = Path(__file__).resolve().parents[1]
    entries = (entry for folder, _, names in os.walk(package) for entry in (Path(folder, n) for n in names))
    told = [f"{e} {s.st_size} {s.st_mtime_ns}" for e in entries if e.suffix != ".pyc" and (s := e.stat())]
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()


def kept(rule: Rule, view: RepoView, key: str) -> list[Finding] | None:
    """What the rule found when `key` was the same; None where that is not known."""
    try:
        told = json.loads((view.root / FOLDER / f"{rule.name}.json").read_text(encoding="utf-8"))
        if told["key"] != key:
            return None
        return [_finding(rule, view, one) for one in told["findings"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(rule: Rule, view: RepoView, key: str, findings: Iterable[Finding]) -> None:
    """Remember what the rule found; a folder that cannot be written costs time, nothing else."""
    told = {"key": key, "findings": [finding.to_json() for finding in findings]}
    try:
        with whole_file(view.root / FOLDER / f"{rule.name}.json") as draft:
            draft.write_text(json.dumps(told), encoding="utf-8")
    except PlatformError:
        return


def _finding(rule: Rule, view: RepoView, told: dict[str, Any]) -> Finding:
    given = {name: told[name] for name in ("code", "what", "mend", "path", "line")}
    found = Finding(severity=Severity(told["severity"]), **given)
    return replace(found, fix=partial(_again, rule, view, found)) if told["fixable"] else found


def _again(rule: Rule, view: RepoView, wanted: Finding, root: Path) -> MendedFile:
    """The mend of what was kept: its rule is asked again, for the mend itself cannot be kept."""
    for finding in rule.find(RepoView(root, view.today)):
        if finding == wanted and finding.fix is not None:
            return finding.fix(root)
    raise PlatformError(f"{wanted.code} is found no more", "crm check --again", retryable=True)
