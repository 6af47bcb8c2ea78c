"""The objects of a repository: read by one git process, written as git writes loose ones, with no process at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.git import Git

FOLDER = "40000"
"""Git's mode of a tree in a tree."""
Kind = Literal["blob", "tree", "commit"]


@dataclass(frozen=True)
class Entry:
    """What stands at a path: git's mode and the object's name."""

    mode: str
    oid: str


@dataclass(frozen=True)
class GitObject:
    """One object of a repository."""

    oid: str
    kind: str
    """`blob`, `tree` or `commit`."""
    content: bytes


class Store:
    """The objects of one repository, for as long as a `with` block lasts; of one thread.

    Args:
        git: the repository.
    """

    def __init__(self, git: Git) -> None:
        self.git = git
        self._reader: subprocess.Popen[bytes] | None = None
        self._trees: dict[str, dict[str, Entry]] = {}
        self._there: set[str] = set()
        """Objects that trees which were read name; the repository has them."""

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._reader is not None:
            self._reader.communicate()

    def get(self, name: str) -> GitObject | None:
        """What a name stands for (an object id, `HEAD^{tree}`, a branch), None where it is nothing.

        Raises:
            TemplateError: git does not answer.
        """
        head, told = self._asked(name)
        if head is None:
            return None
        oid, kind, size = head
        return GitObject(oid, kind, told.read(int(size) + 1)[:-1])

    def put(self, kind: Kind, content: bytes) -> str:
        """Write an object unless it is there; returns its name.

        Raises:
            TemplateError: the disk is full, or git's folder cannot be written.
        """
        oid, packed = (_blob if kind == "blob" else _made)(kind, content, self.git.hash)
        path = self.git.store / oid[:2] / oid[2:]
        try:
            os.utime(path)  # so that git gc does not take it for an old one that nobody uses
        except OSError:
            if oid not in self._there and not os.access(path, os.F_OK):  # another user's cannot be touched
                self._write(path, packed)
        return oid

    def tree(self, oid: str) -> dict[str, Entry]:
        """Name to what stands there, of one folder."""
        if oid not in self._trees:
            found = self.get(oid)
            if found is None or found.kind != "tree":
                raise TemplateError(f"{self.git.root}: git lacks the tree {oid}", "git fsck")
            self._trees[oid] = dict(_parsed(found.content, len(oid) // 2))
            self._there |= {oid, *(entry.oid for entry in self._trees[oid].values())}
        return self._trees[oid]

    def tree_of(self, commit: str) -> str:
        """The tree of a commit, or of a tree itself."""
        found = self.get(f"{commit}^{{tree}}")
        if found is None:
            raise TemplateError(f"{self.git.root}: git lacks {commit}", "git fsck")
        return found.oid

    def at(self, tree: str, path: str) -> bytes | None:
        """The file at a path; None where there is none."""
        name, _, rest = path.partition("/")
        entry = self.tree(tree).get(name)
        if entry is None or (entry.mode == FOLDER) is not bool(rest):
            return None
        found = None if rest else self.get(entry.oid)
        return self.at(entry.oid, rest) if rest else found.content if found else None

    def files(self, tree: str, above: str = "") -> dict[str, Entry]:
        """Path to what stands there, folders left out."""
        found: dict[str, Entry] = {}
        for name, entry in self.tree(tree).items():
            if entry.mode == FOLDER:
                found |= self.files(entry.oid, f"{above}{name}/")
            else:
                found[above + name] = entry
        return found

    def changed(self, one: str, other: str, above: str = "") -> Iterator[tuple[str, Entry | None, Entry | None]]:
        """Path, entry before and entry after of each file that differs between two trees; renames are two of them."""
        before, after = (self.tree(oid) if oid else {} for oid in (one, other))
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            folders = [entry.oid if entry and entry.mode == FOLDER else "" for entry in (was, now)]
            files = [entry if entry and entry.mode != FOLDER else None for entry in (was, now)]
            if any(files):
                yield above + name, files[0], files[1]
            if any(folders):
                yield from self.changed(folders[0], folders[1], f"{above}{name}/")

    def put_tree(self, files: Mapping[str, Entry]) -> str:
        """Write the tree that holds these paths, with all its folders; returns its name. Raises as `put` does."""
        names: dict[str, Entry] = {}
        folders: dict[str, dict[str, Entry]] = {}
        for path, entry in files.items():
            name, _, rest = path.partition("/")
            if rest:
                folders.setdefault(name, {})[rest] = entry
            else:
                names[name] = entry
        names |= {name: Entry(FOLDER, self.put_tree(inside)) for name, inside in folders.items()}
        rows = sorted((_raw(name) + (b"/" if entry.mode == FOLDER else b""), entry) for name, entry in names.items())
        told = (b"%s %s\0%s" % (e.mode.encode(), name.rstrip(b"/"), bytes.fromhex(e.oid)) for name, e in rows)
        return self.put("tree", b"".join(told))

    def put_commit(self, tree: str, parent: str | None, who: str, message: bytes) -> str:
        """Write a commit whose author and committer is `who`: `Name <mail> seconds zone`. Raises as `put` does."""
        lines = [f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}", "", ""]
        return self.put("commit", "\n".join(lines).encode() + message)

    def _write(self, path: Path, packed: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"tmp_obj_{secrets.token_hex(6)}")  # a name that git gc clears away
            with open(draft, "xb", opener=_for_reading) as stream:
                stream.write(packed)
            draft.replace(path)
        except OSError as error:
            raise TemplateError(
                f"git cannot store the templates in {self.git.root}: {error.strerror or error}",
                "free some space, or allow writing there; nothing has been changed",
            ) from error

    def _asked(self, name: str) -> tuple[list[str] | None, IO[bytes]]:
        """The head of an answer (name, kind, size; None where there is no such object), and where the rest follows."""
        if self._reader is None:
            self._reader = self.git.opened("cat-file", "--batch")
        told, answer = self._reader.stdin, self._reader.stdout
        assert told is not None and answer is not None  # noqa: S101 - `opened` gave them
        try:
            told.write(_raw(name) + b"\n")
            told.flush()
            words = answer.readline().decode("utf-8", "surrogateescape").split()
        except BrokenPipeError:
            words = []
        if not words:
            raise TemplateError(f"git cannot read {self.git.root}", "git fsck")
        return None if words[-1] in ("missing", "ambiguous") else words, answer


def _made(kind: Kind, content: bytes, algorithm: str) -> tuple[str, bytes]:
    """The name of an object and what its file holds."""
    whole = b"%s %d\0%s" % (kind.encode(), len(content), content)
    return hashlib.new(algorithm, whole, usedforsecurity=False).hexdigest(), zlib.compress(whole)


_blob = lru_cache(maxsize=256)(_made)
"""A text that no answer changes is packed once for all repos."""


def _parsed(tree: bytes, digest: int) -> Iterator[tuple[str, Entry]]:
    """The rows of a tree object: `mode name NUL digest`, one after another."""
    at = 0
    while at < len(tree):
        end = tree.index(b"\0", at)
        mode, _, name = tree[at:end].partition(b" ")
        at = end + 1 + digest
        yield name.decode("utf-8", "surrogateescape"), Entry(mode.decode(), tree[end + 1 : at].hex())


def _for_reading(path: str, flags: int) -> int:
    return os.open(path, flags, 0o444)


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
