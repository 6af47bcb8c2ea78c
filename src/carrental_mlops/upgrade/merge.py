"""The three-way merge of two template versions into a repo, by git's own machinery, without a work tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from carrental_mlops.errors import ConfigError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store
from carrental_mlops.upgrade.trees import Sides

_SETTINGS = (
    "merge.conflictStyle=zdiff3",
    "merge.renames=true",
    "merge.directoryRenames=true",
    "merge.renormalize=true",
    "core.quotePath=false",
)


@dataclass(frozen=True)
class Change:
    """One path that the upgrade touches."""

    path: str
    before: Entry | None
    after: Entry | None
    """With git's conflict markers where `stages` is not empty."""
    stages: tuple[tuple[str, str, int], ...] = ()
    """Of a conflict: mode, object, stage (1 old template, 2 repo, 3 new template)."""


@dataclass(frozen=True)
class Merged:
    """What the merge gives."""

    tree: str
    changes: tuple[Change, ...]
    conflicts: tuple[str, ...]
    """Git's sentences, one a conflict."""

    @property
    def unmerged(self) -> tuple[str, ...]:
        """Paths in conflict, sorted."""
        return tuple(change.path for change in self.changes if change.stages)


def merge(store: Store, sides: Sides, version: str) -> Merged:
    """Merge `theirs` into `ours`: hunk by hunk, renames of files and folders followed on both sides.

    Args:
        store: of the repository; objects are written to it, nothing else.
        sides: from `commit_sides`.
        version: the new one; conflict markers name it.

    Raises:
        ConfigError: git is older than 2.38, or cannot merge.
    """
    git = store.git
    done = Git(git.root, (*git.settings, *_SETTINGS), git.environment).run(
        "merge-tree", "--write-tree", "-z", sides.ours, sides.theirs
    )
    if done.returncode not in (0, 1):
        raise ConfigError(
            f"git cannot merge: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}",
            "crm upgrade needs git 2.38 or newer: git --version",
        )
    head, *rest = done.stdout.split(b"\0")
    tree = head.decode()
    stages, said = _answer([part.decode("utf-8", "surrogateescape") for part in rest])
    labels = {sides.ours: "yours", sides.theirs: f"carrental-mlops-{version}"}
    changes = [_relabelled(store, change, labels, sides.base) for change in _changes(store, sides.ours, tree, stages)]
    return Merged(tree, tuple(changes), tuple(_named(text, labels) for text in said))


def with_dropped(store: Store, sides: Sides, merged: Merged, version: str) -> Merged:
    """The merge, with a conflict for each file that git drops in silence.

    That is a file which theirs renames as it is while ours has a link in its old place; where anything else stands
    there, git says rename/delete.
    """
    ours = store.tree_of(sides.ours)
    differing = store.changed(store.tree_of(sides.base), ours)
    other_kind = {path for path, was, now in differing if was and now and was.mode[:2] != now.mode[:2]}
    if not other_kind:
        return merged
    before, theirs, there = (store.files(tree) for tree in map(store.tree_of, (sides.base, sides.theirs, ours)))
    shown = {change.path for change in merged.changes}
    changes, said = [], []
    for path, to in renames(store, (sides.base, sides.theirs), alike="-M100%")[0].items():
        if path in other_kind and to not in shown and to not in there:
            stages = ((before[path].mode, before[path].oid, 1), (theirs[to].mode, theirs[to].oid, 3))
            changes.append(Change(to, None, theirs[to], stages))
            said.append(
                f"CONFLICT (rename/delete): {path} renamed to {to} in carrental-mlops-{version}, a link in yours."
            )
    found = tuple(sorted((*merged.changes, *changes), key=lambda change: change.path))
    return Merged(merged.tree, found, (*merged.conflicts, *said))


def renames(store: Store, *pairs: tuple[str, str], alike: str = "-M") -> list[dict[str, str]]:
    """Of each pair of commits or trees, asked in one call, the files that git takes for renamed: old path to new."""
    trees = [tuple(map(store.tree_of, pair)) for pair in pairs]
    asked = "".join(f"{one} {other}\n" for one, other in trees).encode()
    words = ("diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", alike, "--diff-filter=R")
    found: list[dict[str, str]] = []
    parts = iter(store.git.out(*words, stdin=asked).decode("utf-8", "surrogateescape").split("\0"))
    for part in parts:
        *heads, row = part.split("\n")  # a line for each pair, then a row for each of its files
        found += [{} for _ in heads]
        if row:
            path = next(parts)
            found[-1][path] = next(parts)
    return found


def _changes(store: Store, ours: str, tree: str, stages: dict[str, list[tuple[str, str, int]]]) -> Iterator[Change]:
    found = {path: (before, after) for path, before, after in store.changed(store.tree_of(ours), tree)}
    lacking = [path for path in stages if path not in found]
    if lacking:
        same = store.files(tree)
        found |= {path: (same.get(path), same.get(path)) for path in lacking}
    for path, (before, after) in sorted(found.items()):
        yield Change(path, before, after, tuple(stages.get(path, ())))


def _answer(parts: list[str]) -> tuple[dict[str, list[tuple[str, str, int]]], list[str]]:
    """The stages of each unmerged path, and git's sentences about conflicts."""
    stages: dict[str, list[tuple[str, str, int]]] = {}
    waiting = iter(parts)
    for part in waiting:
        if not part:
            break
        head, _, path = part.partition("\t")
        mode, oid, stage = head.split(" ")
        stages.setdefault(path, []).append((mode, oid, int(stage)))
    said = []
    for count in waiting:
        if not count.strip():
            continue
        for _ in range(int(count)):
            next(waiting)
        kind, text = next(waiting), next(waiting)
        if kind.startswith("CONFLICT"):
            said.append(text.strip())
    return stages, said


def _named(text: str, labels: dict[str, str]) -> str:
    for name, label in labels.items():
        text = text.replace(name, label)
    return text


def _relabelled(store: Store, change: Change, labels: dict[str, str], base: str) -> Change:
    """The change with our names for the sides, in markers and in paths that git made up."""
    path = _named(change.path, {f"~{name}": f"~{label}" for name, label in labels.items()})
    after = change.after
    found = store.get(after.oid) if change.stages and after and after.mode.startswith("100") else None
    if after and found:
        named = re.sub(
            rb"(\|{7} )([0-9a-f]{4,})",  # git shortens this one
            lambda mark: mark[1] + b"template before" if base.startswith(mark[2].decode()) else mark[0],
            found.content,
        )
        for name, label in labels.items():
            for sign in (b"<<<<<<< ", b">>>>>>> "):
                named = named.replace(sign + name.encode(), sign + label.encode())
        after = Entry(after.mode, store.put("blob", named))
    return Change(path, change.before, after, change.stages)
