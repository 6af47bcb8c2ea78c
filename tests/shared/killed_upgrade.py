"""A repo whose upgrade is killed, in a process of its own, at its n-th step that the operating system sees."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from template_versions import LINES, commit, git, repo_of, snapshot, version

from carrental_mlops.errors import ConfigError
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.journal import JournalFile
from carrental_mlops.upgrade.phases import abort, proceed, start
from carrental_mlops.upgrade.plan import open_git, plan

_SEEN = {
    "open",
    "os.rename",
    "os.remove",
    "os.link",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.symlink",
    "subprocess.Popen",
}
_steps = [0, 0]
"""Steps seen, and the one at which this process dies; 0 for none. An audit hook cannot be taken off again."""


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if _steps[1] and event in _SEEN and (event != "open" or arguments[1] not in ("r", "rb", None)):
        _steps[0] += 1
        if _steps[0] == _steps[1]:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a fork and kill it just before its `step`-th change; False where it ended before that."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(_count)
        _steps[:] = [0, step]
        try:
            work()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


NEW = LINES.replace("line 3\n", "line three\n")
OLD_FILES = {"a.txt": LINES, "b.txt": "b\n", "gone/c.txt": "c\n", "f": "file\n"}
NEW_FILES = {"a.txt": NEW, "b.txt": "b\n", "new/deep/d.txt": "d\n", "!run.sh": "#!/bin/sh\n", "f/g": "g\n"}


class Case:
    """A repo to upgrade, again and again from the same state."""

    def __init__(self, folder: Path, *, conflict: bool = False, dirty: bool = False) -> None:
        self.old: Material = version(folder, "1.0.0", OLD_FILES)
        self.new: Material = version(folder, "1.1.0", NEW_FILES)
        self.kept = repo_of(self.old, folder / "kept")
        (self.kept / "a.txt").write_text(LINES.replace("line 3\n" if conflict else "line 15\n", "mine\n"))
        (self.kept / "own.txt").write_text("own\n")
        commit(self.kept)
        (self.kept / "untracked.txt").write_text("untracked\n")
        if dirty:
            (self.kept / "own.txt").write_text("own\nunsaved\n")
        self.repo = folder / "repo"
        self.before = snapshot(self.kept)

    def fresh(self) -> Path:
        shutil.rmtree(self.repo, ignore_errors=True)
        shutil.copytree(self.kept, self.repo, symlinks=True)
        git(self.repo, "update-index", "-q", "--refresh")
        return self.repo

    def go(self) -> object:
        return start(plan(self.repo, self.old, self.new), stash=True)

    def mended(self, mend: Callable[[Path], object]) -> None:
        """Nothing in progress, or `mend` ends it; then nothing of ours is left in the repo."""
        file = JournalFile(open_git(self.repo))
        if file.read() is not None:
            mend(self.repo)
        assert file.read() is None
        assert not [p.name for p in self.repo.iterdir() if p.name.startswith(".crm-upgrade")]
        assert not (self.repo / ".git" / "index.lock").exists()
        assert git(self.repo, "stash", "list") == ""
        git(self.repo, "fsck", "--connectivity-only", "--no-dangling")


def every_kill(
    case: Case, steps: Iterable[int], mend: Callable[[Path], object], ends: list[dict[str, tuple[str, bytes]]]
) -> int:
    """Kill at each step, mend, and hold the result to be one of `ends`; returns how many kills there were."""
    count = 0
    for step in steps:
        case.fresh()
        if not killed_at(step, case.go):
            break
        count += 1
        case.mended(mend)
        found = snapshot(case.repo)
        assert found in ends, (step, {k: v for k, v in found.items() if v != ends[-1].get(k)})
    return count


def whole(case: Case) -> dict[str, tuple[str, bytes]]:
    case.fresh()
    case.go()
    return snapshot(case.repo)


def abort_or_done(repo: Path) -> None:
    try:
        abort(repo)
    except ConfigError as error:
        assert "is committed" in error.what
        proceed(repo)


def loose(repo: Path) -> list[str]:
    told = git(repo, "cat-file", "--batch-all-objects", "--batch-check")
    return [line.split(" ")[0] for line in told.splitlines() if line.split(" ")[1] == "blob"]
