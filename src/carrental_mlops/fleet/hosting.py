"""What the fleet asks of a code host; `gitlab.py` and `github.py` answer, each the one module that knows its client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from carrental_mlops.errors import ConfigError

Kind = Literal["gitlab", "github"]
MrState = Literal["opened", "merged", "closed"]
Pipeline = Literal["passed", "failed", "running", "none"]

TOKENS: Mapping[Kind, str] = {"gitlab": "GITLAB_TOKEN", "github": "GITHUB_TOKEN"}
"""Where a host's token stands; nothing else of the fleet reads it, and no process that a repo runs gets it."""
URLS: Mapping[Kind, str] = {"gitlab": "https://gitlab.com", "github": "https://api.github.com"}
_SECRETS = (*TOKENS.values(), "CI_JOB_TOKEN", "GH_TOKEN", "CRM_COMMENT_TOKEN", "CRM_PROPOSE_TOKEN")


@dataclass(frozen=True)
class Project:
    """A repository on a host."""

    path: str
    """`group/name`."""
    branch: str
    """The default one."""
    clone_url: str
    web_url: str


@dataclass(frozen=True)
class MergeRequest:
    """A merge request, or a pull request."""

    number: int
    url: str
    state: MrState
    pipeline: Pipeline = "none"
    """Of its newest commit; `none` where nothing has run yet."""
    draft: bool = False


@dataclass(frozen=True)
class Proposal:
    """A merge request to be opened."""

    branch: str
    target: str
    title: str
    text: str
    draft: bool


class Host(Protocol):
    """A code host. Every method raises PlatformError when it does not answer, ConfigError when it refuses."""

    def projects(self, group: str, topic: str | None) -> Iterator[Project]:
        """The repositories of a group, those below it too, that `crm new` made; archived ones left out."""

    def project(self, path: str) -> Project:
        """One repository."""

    def find(self, project: str, branch: str) -> list[MergeRequest]:
        """Every merge request from `branch`, whatever became of it, newest first; their pipelines are not asked for."""

    def state(self, project: str, number: int) -> MergeRequest:
        """A merge request as it is now, with its pipeline."""

    def open(self, project: str, proposal: Proposal) -> MergeRequest:
        """A new merge request; the one there is, where another was faster."""

    def update(self, project: str, number: int, proposal: Proposal) -> MergeRequest:
        """An open merge request with the title and text of `proposal`; its branches stay."""

    def git_header(self, url: str) -> str | None:
        """The HTTP header that lets git read and push `url`; None where that is not this host, or no HTTP."""


def host_of(kind: Kind, url: str | None = None) -> Host:
    """The host, with the token of the environment.

    Args:
        kind: whose API.
        url: of a host of your own; default: the public one.

    Raises:
        ConfigError: no token, or its client is not installed.
    """
    token = os.environ.get(TOKENS[kind])
    if not token:
        raise ConfigError(f"{TOKENS[kind]} is not set", f"export {TOKENS[kind]}=… (scopes: api, read and write repos)")
    try:
        if kind == "gitlab":
            from carrental_mlops.fleet.gitlab import GitLab

            return GitLab(url or URLS[kind], token)
        from carrental_mlops.fleet.github import GitHub

        return GitHub(url or URLS[kind], token)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed", "pip install 'carrental-mlops[fleet]'") from error


def without_tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what runs a repo's code: no token of a host."""
    return {name: value for name, value in environment.items() if name not in _SECRETS}
