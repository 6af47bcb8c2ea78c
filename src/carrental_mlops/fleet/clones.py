"""Repos of a host as folders of this machine: cloned once, shallow, brought up to date after; and pushed to."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from carrental_mlops.errors import ConfigError, CrmError, PlatformError, shown_url
from carrental_mlops.files import locked
from carrental_mlops.fleet.hosting import Host, Project
from carrental_mlops.fleet.inventory import Fleet, Member
from carrental_mlops.scaffold.git import Git

TRAILER = "Crm-Fleet"
"""Ends the message of each commit of a campaign: a branch that ends in one is ours to replace."""


def default_folder() -> Path:
    """Where clones lie; need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carrental-mlops" / "fleet"


@dataclass(frozen=True)
class Clones:
    """The repos of a fleet, as folders."""

    folder: Path
    host: Host | None = None

    def at(self, member: Member) -> Path:
        """The repo's folder; of a host's repo, the clone of its default branch as it is now.

        Raises:
            PlatformError: the remote does not answer, or the disk is full; retryable.
        """
        if member.folder is not None:
            return member.folder
        place, url, branch = self._place(member), self._url(member), self._branch(member)
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_name(f"{place.name}.lock")):
            if not (place / ".git").is_dir():
                with tempfile.TemporaryDirectory(prefix=".clone-", dir=place.parent) as scratch:
                    made = Path(scratch) / "made"
                    self._remote(Git(place.parent), url, "clone", "--quiet", "--depth", "1", "--single-branch",
                                 "--branch", branch, "--", url, str(made))  # fmt: skip
                    made.rename(place)
                return place
            git = Git(place)
            self._remote(git, url, "fetch", "--quiet", "--depth", "1", "--", url, f"refs/heads/{branch}")
            git.out("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        return place

    def folders(self, fleet: Fleet) -> dict[str, Path]:
        """Every repo's folder by the repo's name.

        Raises:
            PlatformError: as of `at`.
        """
        return {member.name: self.at(member) for member in fleet.members}

    def push(self, member: Member, commit: str, branch: str) -> None:
        """Bring `commit` to the remote as `branch`; again is as well as once.

        Raises:
            ConfigError: the branch is there and holds what a campaign did not write, or the remote refuses.
            PlatformError: the remote does not answer; retryable.
        """
        git, url, name = Git(self._place(member)), self._url(member), f"refs/heads/{branch}"
        there = self._remote(git, url, "ls-remote", "--", url, name).split("\t")[0]
        if there == commit:
            return
        if there:
            self._remote(git, url, "fetch", "--quiet", "--depth", "1", "--", url, name)
            if f"\n{TRAILER}: " not in git.text("log", "-1", "--format=%B", "FETCH_HEAD"):
                raise ConfigError(
                    f"{member.name}: branch {branch} holds somebody's commits", "merge or delete it there"
                )
        lease = f"--force-with-lease={name}:{there}"
        self._remote(git, url, "push", "--quiet", lease, "--", url, f"{commit}:{name}")

    def _remote(self, git: Git, url: str, *arguments: str) -> str:
        done = Git(git.root, git.settings, self._header(url)).run(*arguments)
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        said = shown_url(done.stderr.decode(errors="replace").strip())
        what = f"git {arguments[0]} of {shown_url(url)}: {said}"
        if re.search(r"\[(remote )?rejected\]|stale info|not found|denied|could not read Username", said):
            raise ConfigError(what, "the token must be allowed to read and push there")
        raise PlatformError(what, "run the command again; it goes on where it was", retryable=True)

    def _header(self, url: str) -> dict[str, str]:
        """The token for git, in its environment: a command line is seen by everybody on the machine."""
        header = self.host.git_header(url) if self.host else None
        if header is None:
            return {}
        number, parts = int(os.environ.get("GIT_CONFIG_COUNT") or 0), urlsplit(url)
        key = f"http.{parts.scheme}://{parts.netloc}/.extraHeader"
        return {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": key,
            f"GIT_CONFIG_VALUE_{number}": header,
        }

    def _place(self, member: Member) -> Path:
        url = self._url(member)
        return self.folder / f"{url.rstrip('/').rpartition('/')[2]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"

    def _url(self, member: Member) -> str:
        return self._known(member).clone_url

    def _branch(self, member: Member) -> str:
        return self._known(member).branch

    @staticmethod
    def _known(member: Member) -> Project:
        if member.project is None:
            raise CrmError(f"{member.name} is no repo of a host", "name its folder")
        return member.project
