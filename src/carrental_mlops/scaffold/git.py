"""All that knows git's command line: a repository to ask and to write to, and the first commit of a model repo."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from carrental_mlops.errors import TemplateError

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "maintenance.auto=false",
    "gc.auto=0",
    "diff.renameLimit=0",
    "merge.renameLimit=0",
)
_KEPT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG", "GIT_SSH")
"""Beginnings of git's variables that say who and how, not where."""


@dataclass(frozen=True)
class GitObject:
    """One object of a repository."""

    oid: str
    kind: str
    """`blob`, `tree` or `commit`."""
    content: bytes


@dataclass(frozen=True)
class Git:
    """A repository; no hook of it runs, and no variable of a calling git leads elsewhere."""

    root: Path
    settings: tuple[str, ...] = ()
    """`key=value` of git's configuration, beside our own."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *arguments: str, stdin: bytes | None = None, index: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """What git answered, whatever it was.

        Args:
            arguments: of git.
            stdin: what it reads.
            index: instead of the repository's own.

        Raises:
            TemplateError: git is not on the PATH.
        """
        git = shutil.which("git")
        if git is None:
            raise TemplateError("git is not on the PATH", "install git, then run the command again")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(_KEPT)}
        own = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **self.environment}
        settings = [word for setting in (*_SETTINGS, *self.settings) for word in ("-c", setting)]
        return subprocess.run(  # noqa: S603  a fixed program, arguments of ours
            [git, *settings, *arguments],
            cwd=self.root,
            env={**kept, **own, **({"GIT_INDEX_FILE": str(index)} if index else {})},
            input=stdin if stdin is not None else b"",
            capture_output=True,
            check=False,
        )

    def out(self, *arguments: str, stdin: bytes | None = None, index: Path | None = None) -> bytes:
        """What git wrote.

        Raises:
            TemplateError: git refuses, or is not on the PATH.
        """
        done = self.run(*arguments, stdin=stdin, index=index)
        if done.returncode:
            raise TemplateError(
                f"git {' '.join(arguments[:3])} in {self.root} failed: {done.stderr.decode(errors='replace').strip()}",
                "mend what git says, then run the command again",
            )
        return done.stdout

    def text(self, *arguments: str, index: Path | None = None) -> str:
        """What git wrote, as text without the last newline; raises as `out` does."""
        return self.out(*arguments, index=index).decode(errors="surrogateescape").rstrip("\n")

    def objects(self, names: Sequence[str]) -> list[GitObject | None]:
        """What each name stands for (`HEAD:path`, an object id, …), asked in one call; None where it is nothing."""
        asked = [name.encode("utf-8", "surrogateescape") for name in names]
        told = self.out("cat-file", "--batch", "-z", stdin=b"".join(name + b"\0" for name in asked)) if asked else b""
        found: list[GitObject | None] = []
        for name in asked:
            if told.startswith(missing := name + b" missing\n"):
                found.append(None)
                told = told[len(missing) :]
                continue
            head, _, told = told.partition(b"\n")
            oid, kind, size = head.decode().split(" ")
            found.append(GitObject(oid, kind, told[: int(size)]))
            told = told[int(size) + 1 :]
        return found

    @cached_property
    def top(self) -> Path | None:
        """Of the work tree; None where this is in none."""
        done = self.run("rev-parse", "--show-toplevel")
        return None if done.returncode else Path(os.fsdecode(done.stdout.removesuffix(b"\n")))

    @cached_property
    def directory(self) -> Path:
        """Git's own folder of this work tree; raises TemplateError where there is none."""
        return Path(self.text("rev-parse", "--absolute-git-dir"))

    @cached_property
    def _flags(self) -> dict[str, str]:
        told = self.run("config", "-z", "--type=bool", "--get-regexp", r"^(core\.filemode|commit\.gpgsign)$").stdout
        return dict(row.split("\n", 1) for row in told.decode(errors="replace").split("\0") if "\n" in row)

    def flag(self, name: str, default: bool) -> bool:
        """What `core.filemode` or `commit.gpgsign` is set to."""
        return self._flags.get(name, str(default).lower()) == "true"

    def identified(self) -> Git:
        """This repository with an identity to commit under: the configured one, `crm` where there is none."""
        if self.run("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").returncode == 0:
            return self
        return Git(self.root, (*self.settings, "user.name=crm", "user.email=crm@localhost"), self.environment)


def first_commit(repo: Path, message: str) -> str:
    """Make `repo` a git repository with all its files in one commit on `main`.

    Uses the identity git is configured with, and `crm` where there is none. Hooks and signing are the team's to turn
    on later.

    Returns:
        The commit's hash.

    Raises:
        TemplateError: git is missing or refuses.
    """
    git = Git(repo, ("commit.gpgSign=false", "user.useConfigOnly=true"))
    git.out("init", "--quiet", "--initial-branch=main")
    git.out("add", "--all", "--force")
    commit = ["commit", "--quiet", "--message", message]
    if git.run(*commit).returncode:
        git.out("-c", "user.name=crm", "-c", "user.email=crm@localhost", *commit)
    return (repo / ".git" / "refs" / "heads" / "main").read_text(encoding="ascii").strip()
