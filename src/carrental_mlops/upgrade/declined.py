"""Which changes of the template a repo does not hold, and how they come back."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from carrental_mlops.governance.ledger import Declined
from carrental_mlops.scaffold.git_store import Store
from carrental_mlops.scaffold.ownership import owner_of
from carrental_mlops.scaffold.rendering import Rendered
from carrental_mlops.upgrade.merge import renames
from carrental_mlops.upgrade.trees import Sides

_WHOLE = "Binary files differ\n"
"""Instead of a patch, where the change has no lines."""
_NO_NEWLINE = "\\ No newline at end of file\n"
Files = Mapping[str, Rendered]


def offered_again(files: Files, entries: Sequence[Declined]) -> dict[str, Rendered]:
    """The old version's files with what the repo declined taken back, so that a merge from there brings it again.

    Args:
        files: as the version that the repo stands on renders them.
        entries: of the ledger, those that nobody waived.
    """
    found = dict(files)
    for entry in entries:
        now = files.get(entry.path)
        before = _reversed(now.content if now else b"", entry.patch)
        if before is None:  # no lines to take back: a text that neither side has, so that git shows a conflict
            found[entry.path] = Rendered(f"declined {entry.base_sha256}\n".encode(), bool(now and now.executable))
        elif before == b"" and entry.base_sha256 == "":
            found.pop(entry.path, None)
        else:
            found[entry.path] = Rendered(before, bool(now and now.executable))
    return found


def declined(
    store: Store, sides: Sides, result: str, base: Files, theirs: Files, versions: tuple[str, str]
) -> Iterator[Declined]:
    """One entry for each managed or merged file whose changes from `base` to `theirs` the result does not hold whole.

    Args:
        store: of the repository.
        sides: the two versions as commits.
        result: the tree that the repo has after the upgrade.
        base: the files of the old version, with what was offered again.
        theirs: the files of the new version.
        versions: old and new.
    """
    there, told = store.files(result), store.files(store.tree_of(sides.theirs))
    offered = (path for path, file in theirs.items() if _is_offered(path, file, base.get(path)))
    lacking = sorted(path for path in offered if path not in there or there[path].oid != told[path].oid)
    gone = set(base) - set(theirs)
    if not lacking and not gone:
        return
    moved: dict[str, str] = {}
    kept, renamed = dict(moved), dict(moved)
    if gone or any(path not in there for path in lacking):
        pairs = (sides.theirs, result), (sides.base, result), (sides.base, sides.theirs)
        moved, kept, followed = renames(store, *pairs)
        renamed = {to: path for path, to in followed.items()}
    for path in lacking:
        new = theirs[path].content
        before = base.get(renamed.get(path, path))
        if owner_of(path, new) == "yours" or (before and before.content == new):
            continue
        now = _content(store, result, (path, moved.get(path), kept.get(renamed.get(path, path))))
        patch = _not_held(path, before.content if before else None, now, new)
        if patch:
            yield _entry(path, before, patch, versions)
    for path in sorted(set(base) - set(theirs) - set(renamed.values())):
        before = base[path]
        now = _content(store, result, (path, kept.get(path)))
        if owner_of(path, before.content) != "yours" and now is not None:
            patch = _patch(path, _lines(before.content), [], "/dev/null") if _is_text(before.content) else _WHOLE
            yield _entry(path, before, patch, versions)


def settled(fresh: Sequence[Declined], whole: Sequence[Declined], old: Sequence[Declined]) -> tuple[Declined, ...]:
    """The ledger after an upgrade.

    Args:
        fresh: what the result lacks of what this upgrade brought.
        whole: the same, with what was waived before counted in.
        old: the ledger of before; an entry keeps the version it speaks of, and its waiver unless more was declined.
    """
    known = {entry.path: entry for entry in old}
    again = {entry.path for entry in fresh}
    made = []
    for entry in whole:
        before = known.get(entry.path)
        if before is not None:
            entry = replace(entry, base=before.base)
            if entry.path not in again:
                entry = replace(entry, reason=before.reason, by=before.by, until=before.until)
        made.append(entry)
    return tuple(made)


def _entry(path: str, before: Rendered | None, patch: str, versions: tuple[str, str]) -> Declined:
    digest = hashlib.sha256(before.content).hexdigest() if before else ""
    return Declined(path, versions[0], versions[1], digest, patch)


def _is_offered(path: str, told: Rendered, before: Rendered | None) -> bool:
    """Whether the new version may change the file at `path`, and the team does not own it."""
    return owner_of(path, told.content) != "yours" and (before is None or before.content != told.content)


def _content(store: Store, tree: str, places: tuple[str | None, ...]) -> bytes | None:
    return next((found for place in places if place and (found := store.at(tree, place)) is not None), None)


def _not_held(path: str, before: bytes | None, now: bytes | None, told: bytes) -> str:
    """The hunks of `before` to `told` that `now` lacks, as a unified diff; empty where it holds them all."""
    if now == told:
        return ""
    if not all(_is_text(content) for content in (before, now, told)):
        return _WHOLE
    old, new = _lines(before), _lines(told)
    if now is None or before is None:
        return _patch(path, old, new, path)
    there = _lines(now)
    kept = difflib.SequenceMatcher(None, new, there, autojunk=False).get_opcodes()
    without = list(old)
    for kind, i1, i2, j1, j2 in reversed(difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()):
        if kind != "equal" and _held(old[i1:i2], (j1, j2), kept, there):
            without[i1:i2] = new[j1:j2]
    return _patch(path, without, new, path) if without != new else ""


def _held(
    gone: list[str], came: tuple[int, int], kept: Sequence[tuple[str, int, int, int, int]], there: list[str]
) -> bool:
    """Whether the lines that came are there in one piece, and those that went do not stand beside them."""
    start, end = came
    inside = start == end or any(kind == "equal" and i1 <= start and end <= i2 for kind, i1, i2, _, _ in kept)
    beside = [
        line
        for kind, i1, i2, j1, j2 in kept
        if kind in ("insert", "replace") and i1 <= end and start <= i2
        for line in there[j1:j2]
    ]
    return inside and not any(line.strip() and line in beside for line in gone)


def _is_text(content: bytes | None) -> bool:
    return content is None or b"\0" not in content


def _lines(content: bytes | None) -> list[str]:
    """Lines with their `\\n`; nothing else ends a line."""
    text = (content or b"").decode("utf-8", "surrogateescape")
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _patch(path: str, old: Sequence[str], new: Sequence[str], to: str) -> str:
    made = difflib.unified_diff(old, new, f"a/{path}", f"b/{to}" if to != "/dev/null" else to)
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in made)


def _reversed(content: bytes, patch: str) -> bytes | None:
    """What `content` was before `patch`; None where it does not fit exactly."""
    lines, made, at = _lines(content), [], 0
    if patch == _WHOLE:
        return None
    for start, gone, came in _hunks(patch):
        if start < at or lines[start : start + len(came)] != came:
            return None
        made += [*lines[at:start], *gone]
        at = start + len(came)
    return "".join([*made, *lines[at:]]).encode("utf-8", "surrogateescape")


def _hunks(patch: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Of each hunk: the index of its first new line, its old lines, its new lines."""
    rows = [row + "\n" for row in patch.split("\n")[:-1]]
    at = 0
    while at < len(rows):
        if not rows[at].startswith("@@ "):
            at += 1
            continue
        where, _, count = rows[at].split(" ")[2][1:].partition(",")
        start = int(where) - (0 if count == "0" else 1)
        gone: list[str] = []
        came: list[str] = []
        at += 1
        while at < len(rows) and rows[at][0] in " -+\\":
            row = rows[at]
            sides = {" ": (gone, came), "-": (gone,), "+": (came,)}.get(row[0], ())
            for side in sides:
                side.append(row[1:])
            if row == _NO_NEWLINE:
                before = rows[at - 1][0]
                for side in {" ": (gone, came), "-": (gone,), "+": (came,)}[before]:
                    side[-1] = side[-1][:-1]
            at += 1
        yield start, gone, came
