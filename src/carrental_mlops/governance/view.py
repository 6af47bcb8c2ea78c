"""A model repo as rules see it: its files, and its configuration where that can be read. Nothing of it is imported."""

from __future__ import annotations

import datetime
import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from carrental_mlops.config import RepoConfig, Section, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import ConfigError

_SKIPPED = {".git", ".crm", ".venv", ".venvs", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_WHOLE = 4 * 2**20
"""Files above this (bytes) count by size and time of change, not by content."""


@dataclass(frozen=True)
class RepoView:
    """One model repo on one day; what is read of it is read once."""

    root: Path
    today: datetime.date

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every file that is or would be committed, relative to the repo with `/`, sorted; without git: every file."""
        told = self.git("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        if told is not None:
            return tuple(sorted({name for name in told.split("\0") if name and (self.root / name).is_file()}))
        found = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return tuple(sorted(p.as_posix() for p in found if not _SKIPPED & set(p.parts)))

    def below(self, *folders: str, suffix: str = "") -> tuple[str, ...]:
        """The files below any of `folders`, with that ending."""
        return tuple(f for f in self.files if f.startswith(tuple(f"{d}/" for d in folders)) and f.endswith(suffix))

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none, or it cannot be read."""
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return None

    def text(self, path: str) -> str:
        """The same as text, what is no UTF-8 replaced; empty where there is none."""
        return (self.read(path) or b"").decode("utf-8", errors="replace")

    def digest(self, paths: Iterable[str]) -> str:
        """sha256 (hex) over names and contents."""
        whole = hashlib.sha256()
        for path in sorted(set(paths)):
            whole.update(f"{path}\0{self._content(path)}\n".encode())
        return whole.hexdigest()

    def _content(self, path: str) -> str:
        full = self.root / path
        try:
            stat = full.stat()
            if stat.st_size > _WHOLE:
                return f"{stat.st_size} {stat.st_mtime_ns}"
            return hashlib.sha256(full.read_bytes()).hexdigest()
        except OSError:
            return "-"

    def line_of(self, path: str, text: str) -> int | None:
        """The first line of a file that holds `text`, from 1."""
        lines = self.text(path).splitlines()
        return next((n for n, line in enumerate(lines, 1) if text in line), None)

    @cached_property
    def configs(self) -> dict[str, tuple[Section, RepoConfig]]:
        """Environment to its configuration, in order of promotion; those that cannot be read are left out."""
        found = {}
        first = self._config(None)
        if first is not None:
            for env in first[1].environments:
                if (one := self._config(env)) is not None:
                    found[env] = one
        return found

    def _config(self, env: str | None) -> tuple[Section, RepoConfig] | None:
        try:
            section = load(self.root, env)
            return section, repo_config(section)
        except ConfigError:
            return None

    @cached_property
    def config(self) -> RepoConfig | None:
        """Of the first environment; None where crm.yaml does not hold."""
        return next(iter(self.configs.values()))[1] if self.configs else None

    @property
    def package(self) -> str | None:
        """Folder of the repo's own code, `src/<package>`."""
        return f"src/{self.config.package}" if self.config else None

    def git(self, *arguments: str) -> str | None:
        """What git says; None where there is no git, no repository, or it says no."""
        told = self.git_bytes(*arguments)
        return None if told is None else told.decode("utf-8", errors="replace")

    def git_bytes(self, *arguments: str) -> bytes | None:
        """The same, as it stands."""
        try:
            command = ["git", "-C", str(self.root), *arguments]
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)  # noqa: S603 - our own words
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None
