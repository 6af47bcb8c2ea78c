"""What a changelog says under **Hook** of the versions between two."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"^##\s+\[?v?(\d[^\s\]]*)", re.MULTILINE)
_HOOK = re.compile(r"^(?:#{3,}\s*Hooks?\s*|\*\*Hooks?\*\*:?\s*)$", re.IGNORECASE)
_REMOVED = re.compile(r"^(?:#{3,}\s*Removed\s*|\*\*Removed\*\*:?\s*)$", re.IGNORECASE)
_HEAD = re.compile(r"^(?:#{1,6}\s|\*\*[^*]+\*\*:?\s*$)")


@dataclass(frozen=True)
class Entry:
    """One point of a list under **Hook**."""

    version: str
    text: str


def version_key(version: str) -> tuple[tuple[int, ...], bool]:
    """Orders versions: `0.2.0rc1` stands before `0.2.0`."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    while parts and not parts[-1]:
        parts.pop()
    rest = version[numbers.end() :] if numbers else version
    return tuple(parts), not re.match(r"[._-]?(a|b|rc|dev)", rest)


def released(changelog: str) -> list[str]:
    """The versions that have a section, as they stand."""
    return [head[1] for head in _VERSION.finditer(changelog)]


def hook_entries(changelog: str, old: str, new: str) -> list[Entry]:
    """The points under **Hook** of every version after `old` up to `new`, newest version first as they stand."""
    return _entries(changelog, old, new, _HOOK)


def removed_entries(changelog: str, old: str, new: str) -> list[Entry]:
    """The same under **Removed**."""
    return _entries(changelog, old, new, _REMOVED)


def _entries(changelog: str, old: str, new: str, wanted: re.Pattern[str]) -> list[Entry]:
    heads = list(_VERSION.finditer(changelog))
    ends = [*(head.start() for head in heads[1:]), len(changelog)]
    return [
        Entry(head[1], text)
        for head, end in zip(heads, ends, strict=False)
        if version_key(old) < version_key(head[1]) <= version_key(new)
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
