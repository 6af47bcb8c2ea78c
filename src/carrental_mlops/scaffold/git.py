"""The first commit of a model repo."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from carrental_mlops.errors import TemplateError


def first_commit(repo: Path, message: str) -> str:
    """Make `repo` a git repository with all its files in one commit on `main`.

    Uses the identity git is configured with, and `crm` where there is none. Hooks and signing are the team's to turn
    on later.

    Returns:
        The commit's hash.

    Raises:
        TemplateError: git is missing or refuses.
    """
    _git(repo, "init", "--quiet", "--initial-branch=main")
    _git(repo, "add", "--all", "--force")
    settings = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "user.useConfigOnly=true", "maintenance.auto=false")
    quiet = [word for setting in settings for word in ("-c", setting)]
    commit = ["commit", "--quiet", "--message", message]
    if _run(repo, *quiet, *commit).returncode:
        _git(repo, *quiet, "-c", "user.name=crm", "-c", "user.email=crm@localhost", *commit)
    return (repo / ".git" / "refs" / "heads" / "main").read_text(encoding="ascii").strip()


def _git(repo: Path, *arguments: str) -> str:
    done = _run(repo, *arguments)
    if done.returncode:
        raise TemplateError(
            f"git {' '.join(arguments)} in the new repo failed: {done.stderr.strip()}",
            "mend what git says, then run crm new again",
        )
    return done.stdout.strip()


def _run(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    git = shutil.which("git")
    if git is None:
        raise TemplateError("git is not on the PATH", "install git, then run the command again")
    outside = {k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    return subprocess.run(  # noqa: S603  a fixed program, arguments of ours
        [git, *arguments], cwd=repo, env=outside, capture_output=True, text=True, check=False
    )
