"""A model repo's git history as the figures want it: its first day, what was merged, the versions it stood on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.ideas import FILE
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.ownership import RECORD, parse_record

_FORMAT = "%H%x1f%P%x1f%ct%x1f%B%x1e"


@dataclass(frozen=True)
class Merge:
    """One commit of the default branch, first parents only."""

    commit: str
    parents: tuple[str, ...]
    at: datetime
    """Committer's time, UTC."""
    message: str

    def speaks_of(self, feature: str) -> bool:
        """Whether its message names `feature`, such as `Merge branch 'feature/night-rentals'`; `_` and ` ` are `-`."""
        return bool(_named(feature).search(self.message))


@dataclass(frozen=True)
class History:
    """Git's history of the model repo at `root`, read on the default branch: origin's, else main, master, HEAD.

    A model repo in a folder of a larger repository has the history of that folder. Every member raises ConfigError
    where git has no commit here.
    """

    root: Path

    @cached_property
    def branch(self) -> str:
        """The default branch."""
        told = self._git.run("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD").stdout.decode().strip()
        for name in (told, "main", "master", "HEAD"):
            if name and self._git.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").returncode == 0:
                return name
        raise ConfigError(f"{self.root} has no commit in git", "git init, git add --all, git commit")

    @property
    def shallow(self) -> bool:
        """Whether the clone lacks its beginnings, so that first days cannot be known."""
        return self._git.text("rev-parse", "--is-shallow-repository") == "true"

    @cached_property
    def created(self) -> datetime | None:
        """When `.crm.json` was first committed, UTC; None where it never was."""
        told = self._git.text("log", "--format=%ct", "--diff-filter=A", self.branch, "--", RECORD)
        return min(map(_utc, told.split()), default=None)

    @cached_property
    def mainline(self) -> tuple[Merge, ...]:
        """Commits of the default branch, oldest first; those that change nothing but `ideas.yaml` are left out."""
        paths = (".", f":(exclude){FILE}")
        told = self._git.text("log", "--first-parent", "--reverse", f"--format={_FORMAT}", self.branch, "--", *paths)
        found = []
        for entry in told.split("\x1e"):
            if entry.strip():
                commit, parents, at, message = entry.strip("\n").split("\x1f")
                found.append(Merge(commit, tuple(parents.split()), _utc(at), message))
        return tuple(found)

    @property
    def merges(self) -> tuple[Merge, ...]:
        """Merge commits of the default branch, oldest first."""
        return tuple(one for one in self.mainline if len(one.parents) > 1)

    def merge_of(self, feature: str, since: datetime) -> Merge | None:
        """The first merge commit from `since` on that names `feature`, else the first plain commit, as after a squash.

        Args:
            feature: kebab-case.
            since: UTC; what lies before is another thing of that name.
        """
        named = [one for one in self.mainline if one.at >= since and one.speaks_of(feature)]
        return next((one for one in named if len(one.parents) > 1), next(iter(named), None))

    def brought_by(self, merge: Merge) -> frozenset[str]:
        """Commits that came with `merge`, itself among them."""
        if not merge.parents:
            return frozenset({merge.commit})
        return frozenset(self._git.text("rev-list", f"{merge.parents[0]}..{merge.commit}").split())

    def holding(self, commit: str) -> frozenset[str]:
        """Commits of the default branch that contain `commit`, itself among them; only it where git lacks it."""
        done = self._git.run("rev-list", "--ancestry-path", f"{commit}..{self.branch}")
        return frozenset({commit, *(done.stdout.decode().split() if done.returncode == 0 else ())})

    def contained_in(self, commit: str) -> frozenset[str]:
        """Ancestors of `commit`, itself among them; none where git lacks it."""
        done = self._git.run("rev-list", commit, "--")
        return frozenset(done.stdout.decode().split() if done.returncode == 0 else ())

    def in_work(self, feature: str) -> frozenset[str]:
        """Commits of branches named after `feature` that the default branch lacks."""
        refs = self._git.text("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes").split()
        named = [ref for ref in refs if _named(feature).search(ref)]
        return frozenset(self._git.text("rev-list", *named, "--not", self.branch).split()) if named else frozenset()

    def versions(self) -> Iterator[tuple[str, datetime]]:
        """Each version of the template that the default branch stood on, from when (UTC), oldest first."""
        told = self._git.text("log", "--first-parent", "--reverse", "--format=%H %ct", self.branch, "--", RECORD)
        last = None
        for line in told.splitlines():
            commit, at = line.split()
            done = self._git.run("show", f"{commit}:./{RECORD}")
            if done.returncode:  # removed by that commit
                continue
            version = parse_record(done.stdout, f"{commit[:12]}:{RECORD}").version
            if version != last:
                last = version
                yield version, _utc(at)

    @cached_property
    def _git(self) -> Git:
        return Git(self.root)


def _named(feature: str) -> re.Pattern[str]:
    words = "[-_ ]".join(map(re.escape, feature.split("-")))
    return re.compile(rf"(?<![a-z0-9]){words}(?![a-z0-9]|[-_][a-z0-9])", re.IGNORECASE)


def _utc(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
