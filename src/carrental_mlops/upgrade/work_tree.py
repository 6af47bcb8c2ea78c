"""An upgrade's changes brought into work tree and index: everything ready beside its place first, then moved there.

Each step may be done again: a path that is as it should be is left alone, one that is neither as before nor as after is
somebody's work and stops it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry
from carrental_mlops.upgrade.checked_out import LINK, contents
from carrental_mlops.upgrade.journal import Journal, JournalFile
from carrental_mlops.upgrade.merge import Change


@dataclass(frozen=True)
class OnDisk:
    """What stands at a path of the work tree."""

    content: bytes
    mode: str
    """As git has it: `100644`, `100755`, `120000`."""


class WorkTree:
    """The work tree and index of one upgrade.

    Args:
        git: the repository.
        file: its journal.
        journal: the upgrade.
    """

    def __init__(self, git: Git, file: JournalFile, journal: Journal) -> None:
        self._git, self._root, self._journal = git, git.root, journal
        self._index, self._lock = file.git_dir / "index", file.git_dir / "index.lock"
        self._before, self._ready = file.folder / "index.before", file.folder / "index.ready"
        self._drafts = self._root / f".crm-upgrade-{journal.token}"
        self._modes = git.flag("core.filemode", True)
        wanted = [(c.path, e) for c in journal.changes for e in (c.before, c.after) if e]
        self._content = contents(git, wanted)

    def refuse_what_would_be_lost(self) -> None:
        """Stop before anything is written.

        Raises:
            ConfigError: an untracked or ignored file is in the way, or a file is not what git would bring back.
        """
        gone = {c.path for c in self._journal.changes if c.before and not c.after}
        for change in self._journal.changes:
            at = self._root / change.path
            if change.before is None:
                found = self._in_the_way(at, gone)
                if found:
                    name = found.relative_to(self._root).as_posix()
                    raise ConfigError(
                        f"{name} is in the way of {change.path}, and git does not hold it",
                        f"commit it, or move it away: mv {name} {name}.mine",
                    )
            elif self._at(change.path) != self._as(change.path, change.before):
                raise ConfigError(
                    f"{change.path} is not what git would bring back (a filter, line endings, or a flag of the index "
                    "hides a difference)",
                    f"cp {change.path} {change.path}.mine; git update-index --no-assume-unchanged --no-skip-worktree "
                    f"{change.path}; git checkout -- {change.path}",
                )

    def prepare(self) -> None:
        """Every new text beside its place and the new index beside the old one; a full disk shows here.

        Raises:
            PlatformError: no space, or a folder that cannot be written.
            TemplateError: git refuses the index.
        """
        self._clear_own_lock()
        self._refuse_lock()
        try:
            shutil.copyfile(self._index, self._before)
            shutil.copyfile(self._before, self._ready)
            self._drafts.mkdir(exist_ok=True)
            for number, change in enumerate(self._journal.changes):
                if change.after:
                    self._write_draft(number, change.path, change.after)
        except OSError as error:
            raise PlatformError(
                f"{error.filename or self._root} cannot be written: {error.strerror or error}",
                "free some space, or allow writing there; nothing has been changed",
            ) from error
        told = b"".join(_index_lines(self._journal.changes, len(self._journal.head)))
        self._git.out("update-index", "-z", "--index-info", stdin=told, index=self._ready)

    def apply(self) -> None:
        """Move everything into its place; the index last. Holds git's own lock meanwhile.

        Raises:
            ConfigError: somebody changed the repo since it was prepared.
            PlatformError: another git is at work there, or a file cannot be replaced.
        """
        self._take_lock(self._ready)
        try:
            self._check_unchanged()
            for change in self._journal.changes:
                if change.after is None:
                    self._settle(change, None)
            for number, change in enumerate(self._journal.changes):
                if change.after is not None:
                    self._settle(change, number)
        except OSError as error:
            raise PlatformError(
                f"{error.filename} cannot be replaced: {error.strerror}", "allow writing there, then run it again"
            ) from error
        self._install_index()

    def restore(self, *, discard: bool) -> list[str]:
        """The very work tree and index of before.

        Args:
            discard: also what somebody has written at these paths since, such as a resolution; it is kept as an object.

        Returns:
            For each text that is neither of before nor of the upgrade: its path and how to get it back.
        """
        self._take_lock(self._before)
        kept, left = [], set()
        for change in self._journal.changes:
            now, was = self._at(change.path), self._as(change.path, change.before)
            if now not in (None, was, self._as(change.path, change.after)):
                if not discard:
                    kept.append(f"{change.path}: left as you wrote it meanwhile")
                    left.add(change.path)
                    continue
                kept.append(f"{change.path}: git cat-file blob {self._stored(change.path)}")
            if change.before is None and now is not None:
                self._remove(change.path)
        self._drafts.mkdir(exist_ok=True)
        for number, change in enumerate(self._journal.changes):
            if change.before is None or change.path in left:
                continue
            if self._at(change.path) != self._as(change.path, change.before):
                self._write_draft(number, change.path, change.before)
                self._place(number, change.path)
        self._install_index()
        return kept

    def clear(self) -> None:
        """Remove what is beside its place, once nothing needs it."""
        self._clear_own_lock()
        shutil.rmtree(self._drafts, ignore_errors=True)

    def _check_unchanged(self) -> None:
        if self._git.text("rev-parse", "HEAD") != self._journal.head:
            raise ConfigError("somebody committed meanwhile", "crm upgrade --abort, then crm upgrade again")
        if self._index.read_bytes() == self._before.read_bytes():
            return
        known = [self._listed(index) for index in (self._before, self._ready)]
        if self._listed(self._index) not in known:
            raise ConfigError("somebody changed the index meanwhile", "git status; crm upgrade --abort")

    def _listed(self, index: Path) -> bytes:
        return self._git.out("ls-files", "--stage", "-z", index=index)

    def _settle(self, change: Change, number: int | None) -> None:
        path, now = change.path, self._at(change.path)
        if now == self._as(path, change.after):
            return
        if now != self._as(path, change.before):
            raise ConfigError(
                f"{path} was changed meanwhile", "crm upgrade --abort, commit that change, then crm upgrade again"
            )
        if change.after is None or number is None:
            self._remove(path)
            return
        if self._read(self._drafts / str(number)) != self._as(path, change.after):
            self._drafts.mkdir(exist_ok=True)
            self._write_draft(number, path, change.after)
        self._place(number, path)

    def _place(self, number: int, path: str) -> None:
        """Move a draft to its place; folders there that hold no file make room."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not target.is_symlink():
            for folder, _, _ in os.walk(target, topdown=False):
                Path(folder).rmdir()
        (self._drafts / str(number)).replace(target)

    def _install_index(self) -> None:
        self._lock.replace(self._index)
        self._clear_own_lock()  # a rename onto another name of the same file leaves both
        self._git.run("update-index", "-q", "--refresh")

    def _stored(self, path: str) -> str:
        found = self._at(path)
        content = found.content if found else b""
        return self._git.out("hash-object", "-w", "--no-filters", "--stdin", stdin=content).decode().strip()

    def _remove(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)
        with suppress(OSError):
            for folder in (self._root / path).parents:
                if folder == self._root:
                    break
                folder.rmdir()

    def _write_draft(self, number: int, path: str, entry: Entry) -> None:
        draft, wanted = self._drafts / str(number), self._as(path, entry)
        assert wanted is not None  # noqa: S101 - an entry has content
        draft.unlink(missing_ok=True)
        if wanted.mode == LINK:
            draft.symlink_to(os.fsdecode(wanted.content))
            return
        with draft.open("xb") as stream:
            stream.write(wanted.content)
            stream.flush()
            os.fsync(stream.fileno())
        if wanted.mode == "100755":
            draft.chmod(draft.stat().st_mode | (draft.stat().st_mode & 0o444) >> 2)

    def _at(self, path: str) -> OnDisk | None:
        return self._read(self._root / path)

    def _read(self, at: Path) -> OnDisk | None:
        try:
            mode = at.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(mode):
            return OnDisk(os.fsencode(at.readlink()), LINK)
        if not stat.S_ISREG(mode):
            return None
        return OnDisk(at.read_bytes(), "100755" if mode & 0o100 and self._modes else "100644")

    def _as(self, path: str, entry: Entry | None) -> OnDisk | None:
        if entry is None:
            return None
        mode = entry.mode if self._modes or entry.mode == LINK else "100644"
        return OnDisk(self._content[path, entry], mode)

    def _in_the_way(self, at: Path, gone: set[str]) -> Path | None:
        """What a new file would stand on: a file there or above, or a folder that holds more than what goes."""
        if at.is_dir() and not at.is_symlink():
            inside = (p for p in at.rglob("*") if p.is_symlink() or not p.is_dir())
            return next((p for p in inside if p.relative_to(self._root).as_posix() not in gone), None)
        for place in (at, *at.parents):
            if place == self._root:
                return None
            if (place.is_symlink() or place.is_file()) and place.relative_to(self._root).as_posix() not in gone:
                return place
        return None

    def _take_lock(self, index: Path) -> None:
        self._clear_own_lock()
        try:
            self._lock.hardlink_to(index)
        except FileExistsError:
            self._refuse_lock()

    def _refuse_lock(self) -> None:
        if self._lock.exists():
            raise PlatformError(
                f"{self._lock} exists: another git is at work in this repo",
                f"wait for it to end, or, where none runs, rm {self._lock}; then run the command again",
                retryable=True,
            )

    def _clear_own_lock(self) -> None:
        for mine in (self._ready, self._before):
            if self._lock.exists() and mine.exists() and self._lock.samefile(mine):
                self._lock.unlink()


def _index_lines(changes: Iterable[Change], digits: int) -> Iterable[bytes]:
    paths = {change.path: change.path.encode("utf-8", "surrogateescape") for change in changes}
    for path in paths.values():
        yield b"0 %s\t%s\0" % (b"0" * digits, path)
    for change in changes:
        for mode, oid, stage in change.stages:
            yield f"{mode} {oid} {stage}\t".encode() + paths[change.path] + b"\0"
        if change.after and not change.stages:
            yield f"{change.after.mode} {change.after.oid}\t".encode() + paths[change.path] + b"\0"
