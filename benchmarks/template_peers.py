"""cruft and copier as they are used: an environment each, a template in git with a tag a version, their commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from measure import ROOT, wall

_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
_LIMIT_S = 300


class Peer:
    """A tool that keeps repos up to date with a template in git.

    Args:
        folder: everything lies there.
    """

    name = ""
    """Of the package and its command."""
    record = ""
    """The tool's own file in a repo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        home = folder / "home"
        home.mkdir()
        (home / ".gitconfig").write_text("[user]\n\tname = bench\n\temail = bench@localhost\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PYTHON", "XDG_"))}
        self._environment = {**kept, "HOME": str(home)}
        self.command = str(_installed(self.name) / self.name)
        self.template = folder / "template"
        self.template.mkdir()
        self.git(self.template, "init", "-q", "-b", "main")

    @property
    def version(self) -> str:
        """Of the package."""
        asked = f"from importlib.metadata import version; print(version('{self.name}'))"
        words = [str(Path(self.command).with_name("python")), "-c", asked]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def publish(self, fill: Callable[[Path], None], tag: str) -> None:
        """A version of the template: what `fill` writes into its folder."""
        for path in self.template.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        fill(self.template)
        self.git(self.template, "add", "-A", "-f")
        self.git(self.template, *_IDENTITY, "commit", "-qm", tag, "--allow-empty")
        self.git(self.template, "tag", tag)

    def create(self, folder: Path, tag: str, answers: Mapping[str, Any], flavour: str = "") -> None:
        """A repo by the tool's own command, in `folder`; the answer `name` is its name."""
        raise NotImplementedError

    def committed(self, repo: Path) -> Path:
        """The repo with a first commit."""
        self.git(repo, "init", "-q", "-b", "main")
        self.commit(repo)
        return repo

    def commit(self, repo: Path) -> None:
        """All that is there."""
        self.git(repo, "add", "-A")
        self.git(repo, *_IDENTITY, "commit", "-qm", "team", "--allow-empty")

    def update(self, repo: Path, tag: str) -> int:
        """Exit code of the tool's update in a repo."""
        raise NotImplementedError

    def call(self, cwd: Path, *words: str) -> int:
        """Exit code of the tool; what it says goes nowhere."""
        return subprocess.run(
            [self.command, *words],
            cwd=cwd,
            env=self._environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_S,
        ).returncode

    def must(self, cwd: Path, *words: str) -> None:
        """The tool, which must succeed."""
        wall([self.command, *words], cwd, self._environment)

    def git(self, cwd: Path, *words: str) -> None:
        """Git, which must succeed."""
        wall(["git", *words], cwd, self._environment)


class Cruft(Peer):
    """`cruft create`, `cruft update`."""

    name, record = "cruft", ".cruft.json"

    def create(self, folder: Path, tag: str, answers: Mapping[str, Any], flavour: str = "") -> None:
        words = ["--checkout", tag, "--no-input", "--output-dir", str(folder), "--extra-context", json.dumps(answers)]
        self.must(folder, "create", str(self.template), *words, *(["--directory", flavour] if flavour else []))

    def update(self, repo: Path, tag: str) -> int:
        return self.call(
            repo,
            "update",
            "--checkout",
            tag,
            "--skip-apply-ask",
            "--allow-untracked-files",
            "--refresh-private-variables",
        )


class Copier(Peer):
    """`copier copy`, `copier update`."""

    name, record = "copier", ".copier-answers.yml"

    def create(self, folder: Path, tag: str, answers: Mapping[str, Any], flavour: str = "") -> None:
        told = {**answers, "flavour": flavour} if flavour else dict(answers)
        given = self.folder / "answers.json"
        given.write_text(json.dumps(told))
        words = ["--quiet", "--defaults", "--data-file", str(given), "--vcs-ref", tag, str(self.template)]
        self.must(folder, "copy", *words, str(folder / (answers.get("name") or answers["cookiecutter"]["name"])))

    def update(self, repo: Path, tag: str) -> int:
        return self.call(repo, "update", "--quiet", "--defaults", "--vcs-ref", tag)


def _installed(name: str) -> Path:
    """bin/ of an environment that holds this tool alone."""
    folder = ROOT / ".venvs" / name
    if not (folder / "bin" / name).is_file():
        uv = ROOT / ".tools" / "bin" / "uv"
        wall([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder])
        wall([uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", name])
    return folder / "bin"
