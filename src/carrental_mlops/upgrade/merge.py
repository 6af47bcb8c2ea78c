"""The three-way merge of two template versions into a repo, by git's own machinery, without a work tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carrental_mlops.errors import ConfigError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.upgrade.trees import Sides

_SETTINGS = (
    "merge.conflictStyle=zdiff3",
    "merge.renames=true",
    "merge.directoryRenames=true",
    "merge.renormalize=true",
    "core.quotePath=false",
)


@dataclass(frozen=True)
class Entry:
    """What stands at a path: git's mode and the object's name."""

    mode: str
    oid: str


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


def merge(git: Git, sides: Sides, version: str) -> Merged:
    """Merge `theirs` into `ours`: hunk by hunk, renames of files and folders followed on both sides.

    Args:
        git: the repository; objects are written to it, nothing else.
        sides: from `commit_sides`.
        version: the new one; conflict markers name it.

    Raises:
        ConfigError: git is older than 2.38, or cannot merge.
    """
    git = Git(git.root, (*git.settings, *_SETTINGS), git.environment)
    done = git.run("merge-tree", "--write-tree", "-z", sides.ours, sides.theirs)
    if done.returncode not in (0, 1):
        raise ConfigError(
            f"git cannot merge: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}",
            "crm upgrade needs git 2.38 or newer: git --version",
        )
    head, *rest = done.stdout.split(b"\0")
    tree = head.decode()
    stages, said = _answer([part.decode("utf-8", "surrogateescape") for part in rest])
    labels = _labels(git, sides, version) if stages or said else {}
    changes = [_relabelled(git, change, labels) for change in _changes(git, sides.ours, tree, stages)]
    return Merged(tree, tuple(changes), tuple(_named(text, labels) for text in said))


def with_dropped(git: Git, sides: Sides, merged: Merged, version: str) -> Merged:
    """The merge, with a conflict for each file that git drops in silence.

    That is a file which theirs renames as it is while ours has a link in its old place; where anything else stands
    there, git says rename/delete.
    """
    other_kind = {path for path, _, _, _ in diff(git, sides.base, sides.ours, "--no-renames", "--diff-filter=T")}
    shown = {change.path for change in merged.changes}
    changes, said = [], []
    for path, before, to, after in (
        diff(git, sides.base, sides.theirs, "-M100%", "--diff-filter=R") if other_kind else ()
    ):
        there = git.run("cat-file", "-e", f"{sides.ours}:{to}").returncode == 0
        if path in other_kind and to not in shown and not there and before and after:
            stages = ((before.mode, before.oid, 1), (after.mode, after.oid, 3))
            changes.append(Change(to, None, after, stages))
            said.append(
                f"CONFLICT (rename/delete): {path} renamed to {to} in carrental-mlops-{version}, a link in yours."
            )
    found = tuple(sorted((*merged.changes, *changes), key=lambda change: change.path))
    return Merged(merged.tree, found, (*merged.conflicts, *said))


def diff(git: Git, one: str, other: str, *options: str) -> Iterator[tuple[str, Entry | None, str, Entry | None]]:
    """What differs between two trees: path and entry before, path and entry after (another path for a rename)."""
    told = git.out("diff-tree", "-r", "-z", "--raw", "--no-abbrev", *options, one, other)
    parts = iter(told.decode("utf-8", "surrogateescape").split("\0"))
    for head in parts:
        if not head.startswith(":"):
            continue
        mode, mode_after, oid, oid_after, status = head[1:].split(" ")
        path = next(parts)
        path_after = next(parts) if status[0] in "RC" else path
        before = Entry(mode, oid) if mode.strip("0") else None
        after = Entry(mode_after, oid_after) if mode_after.strip("0") else None
        yield path, before, path_after, after


def _changes(git: Git, ours: str, tree: str, stages: dict[str, list[tuple[str, str, int]]]) -> Iterator[Change]:
    found = {path: (before, after) for path, before, _, after in diff(git, ours, tree, "--no-renames")}
    lacking = [path for path in stages if path not in found]
    if lacking:
        told = git.out("ls-tree", "-r", "-z", tree).decode("utf-8", "surrogateescape").split("\0")
        same = {
            path: Entry(head.split(" ")[0], head.split(" ")[2])
            for head, _, path in (t.partition("\t") for t in told if t)
        }
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


def _labels(git: Git, sides: Sides, version: str) -> dict[str, str]:
    short = git.text("rev-parse", "--short", sides.base)
    return {sides.ours: "yours", sides.theirs: f"carrental-mlops-{version}", short: "template before"}


def _named(text: str, labels: dict[str, str]) -> str:
    for name, label in labels.items():
        text = text.replace(name, label)
    return text


def _relabelled(git: Git, change: Change, labels: dict[str, str]) -> Change:
    """The change with our names for the sides, in markers and in paths that git made up."""
    path = _named(change.path, {f"~{name}": f"~{label}" for name, label in labels.items()})
    after = change.after
    if change.stages and after and after.mode.startswith("100"):
        content = git.out("cat-file", "blob", after.oid)
        named = content
        for name, label in labels.items():
            for mark in (b"<<<<<<< ", b"||||||| ", b">>>>>>> "):
                named = named.replace(mark + name.encode(), mark + label.encode())
        if named != content:
            after = Entry(after.mode, git.out("hash-object", "-w", "--stdin", stdin=named).decode().strip())
    return Change(path, change.before, after, change.stages)
