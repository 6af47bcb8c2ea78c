"""Cases of the torture table run through `crm upgrade`, in one process and with a repo each."""

from __future__ import annotations

import shutil
from pathlib import Path

from template_versions import commit, git, repo_of, snapshot, version
from torture_notation import Files, over, put, read
from torture_table import BASE, CHANGES, EDITS, edit_of
from torture_verdict import Result, Verdict, verdict

from carrental_mlops.errors import CrmError
from carrental_mlops.governance.ledger import LEDGER
from carrental_mlops.scaffold.ownership import RECORD
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.phases import abort, start
from carrental_mlops.upgrade.plan import plan


class Ours:
    """The versions of the table, and the repo that each case is a copy of.

    Args:
        folder: everything lies there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._old = self._version("1.0.0", BASE)
        self._new: dict[str, Material] = {}
        self._first = repo_of(self._old, folder / "first")
        shutil.rmtree(self._first / ".git" / "hooks", ignore_errors=True)

    def run(self, change: str, edit: str) -> Verdict:
        """Upgrade a repo with this edit over this change; a conflict is aborted, and must leave no trace."""
        repo = self._folder / "repo"
        shutil.rmtree(repo, ignore_errors=True)
        shutil.copytree(self._first, repo, symlinks=True)
        put(repo, edit_of(edit))
        if edit in EDITS:
            commit(repo)
        there = snapshot(repo)
        done = verdict(change, edit, self._upgraded(repo, change))
        if (repo / ".git" / "crm-upgrade").exists():
            abort(repo)
            if snapshot(repo) != there:
                return "half-merged"
        return done

    def _upgraded(self, repo: Path, change: str) -> Result:
        before = read(repo, (RECORD, LEDGER))
        try:
            done = start(plan(repo, self._old, self._to(change)))
        except CrmError:
            return Result(before, read(repo, (RECORD, LEDGER)), False, b"", True)
        return Result(before, read(repo, (RECORD, LEDGER)), bool(done.unmerged), unmerged(repo), False)

    def _to(self, change: str) -> Material:
        if change not in self._new:
            self._new[change] = self._version(f"1.{len(self._new) + 1}.0", over(BASE, CHANGES[change]))
        return self._new[change]

    def _version(self, number: str, files: Files) -> Material:
        made = version(self._folder, number, {})
        put(made.template("small") / "{{cookiecutter.name}}", files)
        return made


def unmerged(repo: Path) -> bytes:
    """Every side of every conflict that the index holds."""
    rows = git(repo, "ls-files", "--unmerged").splitlines()
    return "\n".join(git(repo, "cat-file", "blob", row.split()[1]) for row in rows).encode(errors="surrogateescape")
