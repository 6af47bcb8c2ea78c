"""The order of versions, and what a changelog says of them: their days, and the points under **Hook** between two."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

_HEADING = re.compile(
    r"^##[ \t]+\[?v?(?P<version>\d[^\s\]]*)\]?(?:\([^)\s]*\))?[^\w\n]*(?P<day>\d{4}-\d{2}-\d{2}\b)?", re.MULTILINE
)
_LEAST = Version("0.dev0")
_HOOK = re.compile(r"^(?:#{3,}\s*Hooks?\s*|\*\*Hooks?\*\*:?\s*)$", re.IGNORECASE)
_REMOVED = re.compile(r"^(?:#{3,}\s*Removed\s*|\*\*Removed\*\*:?\s*)$", re.IGNORECASE)
_HEAD = re.compile(r"^(?:#{1,6}\s|\*\*[^*]+\*\*:?\s*$)")


@dataclass(frozen=True)
class Entry:
    """One point of a list under **Hook**."""

    version: str
    text: str


def version_of(text: str) -> Version | None:
    """A version as PEP 440 reads it, `v1.2.0` too; None where it is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def version_key(text: str) -> Version:
    """Orders versions: `0.2.0rc1` stands before `0.2.0`, and what is no version before all."""
    return version_of(text) or _LEAST


def released(changelog: str) -> dict[str, datetime.date | None]:
    """The versions that have a section, as they stand, with their day; None where the heading has none.

    Read alike: `## 1.2.0 (2026-12-01)`, `## v1.2.0 (…)`, `## [1.2.0] - …`, `## [1.2.0](https://…) — …`.
    """
    return {head["version"]: _day(head["day"]) for head in _HEADING.finditer(changelog)}


def _day(text: str | None) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        return None


def hook_entries(changelog: str, old: str, new: str) -> list[Entry]:
    """The points under **Hook** of every version after `old` up to `new`, newest version first as they stand."""
    return _entries(changelog, old, new, _HOOK)


def removed_entries(changelog: str, old: str, new: str) -> list[Entry]:
    """The same under **Removed**."""
    return _entries(changelog, old, new, _REMOVED)


def _entries(changelog: str, old: str, new: str, wanted: re.Pattern[str]) -> list[Entry]:
    heads = list(_HEADING.finditer(changelog))
    ends = [*(head.start() for head in heads[1:]), len(changelog)]
    return [
        Entry(head["version"], text)
        for head, end in zip(heads, ends, strict=False)
        if version_key(old) < version_key(head["version"]) <= version_key(new)
        for text in _points(changelog[head.end() : end], wanted)
    ]


def about(entries: list[Entry], owner: str, hook: str) -> list[Entry]:
    """Those that name `Class.hook`, or the hook alone and no hook of that name of another class."""
    whole = re.compile(rf"`{re.escape(owner)}\.{re.escape(hook)}[`(]")
    bare, other = re.compile(rf"`{re.escape(hook)}[`(]"), re.compile(rf"`\w+\.{re.escape(hook)}[`(]")
    return [e for e in entries if whole.search(e.text) or (bare.search(e.text) and not other.search(e.text))]


def _points(section: str, wanted: re.Pattern[str]) -> list[str]:
    points: list[str] = []
    inside = False
    for line in section.splitlines():
        if _HEAD.match(line):
            inside = bool(wanted.match(line))
        elif inside and re.match(r"^[-*] ", line):
            points.append(line[2:].strip())
        elif inside and points and line.strip():
            points[-1] += f" {line.strip()}"
    return points
