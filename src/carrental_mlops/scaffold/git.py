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
        return subprocess.run(  # noqa: S603  a fixed program, arguments of ours
            self._words(arguments),
            cwd=self.root,
            env=self._variables(index),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            check=False,
        )

    def opened(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A git that is asked by its stdin and answers on its stdout; what it complains of goes nowhere.

        Raises:
            TemplateError: git is not on the PATH.
        """
        return subprocess.Popen(  # noqa: S603  a fixed program, arguments of ours
            self._words(arguments),
            cwd=self.root,
            env=self._variables(None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _words(self, arguments: Sequence[str]) -> list[str]:
        git = shutil.which("git")
        if git is None:
            raise TemplateError("git is not on the PATH", "install git, then run the command again")
        return [git, *(word for one in (*_SETTINGS, *self.settings) for word in ("-c", one)), *arguments]

    def _variables(self, index: Path | None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(_KEPT)}
        own = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **self.environment}
        return {**kept, **own, **({"GIT_INDEX_FILE": str(index)} if index else {})}

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

    @cached_property
    def _place(self) -> tuple[bool, str, Path] | None:
        asked = ("--show-object-format", "--is-inside-work-tree", "--show-cdup", "--absolute-git-dir")
        done = self.run("rev-parse", *asked)
        if done.returncode:
            return None
        algorithm, inside, rest = done.stdout.removesuffix(b"\n").split(b"\n", 2)
        up, _, directory = rest.partition(b"\n") if inside == b"true" else (b"", b"", rest)
        return inside == b"true" and not up, algorithm.decode(), Path(os.fsdecode(directory))

    @property
    def is_top(self) -> bool:
        """Whether this is the top of a work tree."""
        return self._place is not None and self._place[0]

    @property
    def hash(self) -> str:
        """What objects are named by: `sha1` or `sha256`; raises as `directory` does."""
        return self._known()[1]

    @property
    def directory(self) -> Path:
        """Git's own folder of this work tree.

        Raises:
            TemplateError: there is none.
        """
        return self._known()[2]

    @cached_property
    def store(self) -> Path:
        """The folder of the objects that are written here; raises as `directory` does."""
        if "GIT_OBJECT_DIRECTORY" in self.environment:
            return Path(self.environment["GIT_OBJECT_DIRECTORY"])
        shared = self.directory / "commondir"  # of a second work tree
        return (self.directory / (shared.read_text().strip() if shared.is_file() else "") / "objects").resolve()

    def _known(self) -> tuple[bool, str, Path]:
        if self._place is None:
            raise TemplateError(f"{self.root} is in no git repository", "git init, or cd into one")
        return self._place

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
