"""Mends that a machine may make: one file's new content, known before anything is written."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from carrental_mlops.errors import CrmError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.finding import Mend, MendedFile
from carrental_mlops.governance.view import RepoView

_SHOWN = 40
"""Lines of a change that are shown."""


def apply(root: Path, change: MendedFile) -> None:
    """Write `change` into the repo at `root`.

    Raises:
        PlatformError: the file cannot be written; it is as it was.
    """
    path = root / change.path
    executable = change.executable if change.executable is not None else _is_executable(path)
    if change.before != change.after:
        with whole_file(path) as draft:
            draft.write_bytes(change.after)
    path.chmod(0o755 if executable else 0o644)


def shown(change: MendedFile) -> str:
    """The change for a person: as a unified diff, cut where it is long; a file that comes back by its size alone."""
    if change.before is None:
        return f"  new: {change.path}, {len(change.after)} bytes"
    if change.before == change.after:
        return f"  mode: {change.path} is executable"
    try:
        before, after = change.before.decode(), change.after.decode()
    except UnicodeDecodeError:
        return f"  {change.path}: {len(change.before)} bytes to {len(change.after)}"
    lines = [
        f"  {line}" if line[-1] == "\n" else f"  {line}\n  \\ no newline at the end\n"
        for line in difflib.unified_diff(
            _lines(before), _lines(after), f"a/{change.path}", f"b/{change.path}", n=0
        )
    ]  # fmt: skip
    rest = len(lines) - _SHOWN
    return "".join([*lines[:_SHOWN], f"  … {rest} lines more\n" if rest > 0 else ""]).rstrip("\n")


def _lines(text: str) -> list[str]:
    """Kept apart by line feeds alone, a carriage return told as one."""
    return text.replace("\r", "\\r").splitlines(keepends=True)


def _is_executable(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o100)


def writing(path: str, after: bytes, executable: bool | None = None) -> Mend:
    """The mend that makes a file hold `after`."""
    return partial(_written, path=path, after=after, executable=executable)


def _written(root: Path, path: str, after: bytes, executable: bool | None) -> MendedFile:
    file = root / path
    return MendedFile(path, file.read_bytes() if file.is_file() else None, after, executable)


def editing(path: str, edit: Callable[[str], str]) -> Mend:
    """The mend that edits a text file as it then is."""
    return partial(_edited, path=path, edit=edit)


def _edited(root: Path, path: str, edit: Callable[[str], str]) -> MendedFile:
    before = (root / path).read_bytes()
    return MendedFile(path, before, edit(before.decode("utf-8")).encode("utf-8"))


def from_head(view: RepoView, path: str, holds: Callable[[bytes], bool]) -> Mend | None:
    """Bring back what the last commit has at `path`, where that `holds`; None where it has not, or a merge is going on.

    Only for a file that is not there, or empty: nothing that anybody wrote is lost.
    """
    if (view.root / path).is_symlink() or view.read(path):
        return None
    if view.git("rev-parse", "--verify", "--quiet", "MERGE_HEAD") is not None:
        return None
    told = view.git_bytes("show", f"HEAD:./{path}")
    return writing(path, told, _mode(view, "HEAD", path)) if told and holds(told) else None


@dataclass(frozen=True)
class AsRendered:
    """A file as the template made it, by its digest; from git, else rendered anew by the installed version."""

    view: RepoView
    render: Callable[[], dict[str, tuple[bytes, bool]]]
    """Path to content and whether it may be run; asked only where git does not know."""

    def brought_back(self, path: str, sha256: str) -> Mend | None:
        """Brings back a file that is gone; None where nobody has its text any more."""
        return self._mend(path, sha256, lambda _: True)

    def respaced(self, path: str, sha256: str) -> Mend | None:
        """Gives the file its text again; None where more than ends of lines, blanks before them or the end differ."""
        raw = self.view.read(path) or b""
        return self._mend(path, sha256, lambda text: _bare(text) == _bare(raw))

    def _mend(self, path: str, sha256: str, fits: Callable[[bytes], bool]) -> Mend | None:
        if (self.view.root / path).is_symlink():
            return None
        for commit in self._commits(path):
            told = self.view.git_bytes("show", f"{commit}:./{path}")
            if told is not None and _sha256(told) == sha256:
                return writing(path, told, _mode(self.view, commit, path)) if fits(told) else None
        try:
            content, executable = self.render().get(path, (b"", False))
        except CrmError:
            return None
        return writing(path, content, executable) if _sha256(content) == sha256 and fits(content) else None

    def _commits(self, path: str) -> list[str]:
        return (self.view.git("log", "-n", "20", "--format=%H", "--diff-filter=AM", "--", path) or "").split()


def _bare(raw: bytes) -> bytes:
    """A text without what an editor changes unasked: byte order mark, ends of lines and blanks before them, its end."""
    return re.sub(rb"[ \t\r]+(?=\n|\Z)", b"", raw.removeprefix(b"\xef\xbb\xbf")).rstrip(b"\n")


def _mode(view: RepoView, commit: str, path: str) -> bool:
    return (view.git("ls-tree", commit, "--", f"./{path}") or "").startswith("100755")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
