"""All that knows GitHub's API."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import github
import requests
from github import Auth, GithubException, GithubRetry, UnknownObjectException

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.fleet.hosting import MergeRequest, MrState, Pipeline, Project, Proposal
from carrental_mlops.scaffold.ownership import RECORD

_LONGEST_WAIT_S = 120.0
_FAILED = ("failure", "timed_out", "cancelled", "action_required", "startup_failure")


class GitHub:
    """A GitHub; see `hosting.Host`.

    Its client keeps a pause between requests and a longer one between writes, and waits as `Retry-After` and
    `X-RateLimit-Reset` say.

    Args:
        url: of the API.
        token: with the scope `repo`.
        pause_s: between requests; four times as long between writes.
    """

    def __init__(self, url: str, token: str, pause_s: float = 0.25) -> None:
        self._url, self._token = url.rstrip("/"), token
        # Lazy as a whole: a lazy repository of an eager client has a client, limits and pauses of its own.
        self._api = github.Github(
            auth=Auth.Token(token), base_url=self._url, timeout=30, per_page=100, retry=GithubRetry(total=6),
            seconds_between_requests=pause_s, seconds_between_writes=4 * pause_s, lazy=True,
        )  # fmt: skip

    def projects(self, group: str, topic: str | None) -> Iterator[Project]:
        """See `Host.projects`."""
        with self._said(group):
            for one in self._api.get_organization(group).get_repos():
                if one.archived or (topic and topic not in one.topics):
                    continue
                try:
                    one.get_contents(RECORD)
                except UnknownObjectException:
                    continue
                yield _project(one)

    def project(self, path: str) -> Project:
        """See `Host.project`."""
        with self._said(path):
            return _project(self._api.get_repo(path))

    def find(self, project: str, branch: str) -> list[MergeRequest]:
        """See `Host.find`."""
        with self._said(project):
            head = f"{project.partition('/')[0]}:{branch}"
            found = self._repo(project).get_pulls(state="all", head=head, sort="created", direction="desc")
            return [_merge_request(one) for one in found]

    def state(self, project: str, number: int) -> MergeRequest:
        """See `Host.state`."""
        with self._said(f"{project}#{number}"):
            found = self._repo(project).get_pull(number)
            return _merge_request(found, self._pipeline(project, found.head.sha))

    def open(self, project: str, proposal: Proposal) -> MergeRequest:
        """See `Host.open`."""
        with self._said(project):
            try:
                return self._open(project, proposal, proposal.draft)
            except GithubException as error:
                said = str(error.data)
                if error.status == 422 and "already exists" in said:
                    return self.find(project, proposal.branch)[0]
                if not (error.status == 422 and proposal.draft and "raft" in said):
                    raise
            return self._open(project, proposal, False)

    def update(self, project: str, number: int, proposal: Proposal) -> MergeRequest:
        """See `Host.update`."""
        with self._said(f"{project}#{number}"):
            found = self._repo(project).get_pull(number)
            found.edit(title=proposal.title, body=proposal.text)
            return _merge_request(found)

    def git_header(self, url: str) -> str | None:
        """See `Host.git_header`."""
        hosts = {urlsplit(self._url).netloc, urlsplit(self._url).netloc.removeprefix("api.")}
        if urlsplit(url).scheme != urlsplit(self._url).scheme or urlsplit(url).netloc not in hosts:
            return None
        return "Authorization: Basic " + base64.b64encode(f"x-access-token:{self._token}".encode()).decode()

    def _open(self, project: str, proposal: Proposal, draft: bool) -> MergeRequest:
        """Where the plan knows no drafts, the title says it."""
        title = proposal.title if draft == proposal.draft else f"Draft: {proposal.title}"
        made = self._repo(project).create_pull(
            base=proposal.target, head=proposal.branch, title=title, body=proposal.text, draft=draft
        )
        return _merge_request(made)

    def _pipeline(self, project: str, sha: str) -> Pipeline:
        commit = self._repo(project).get_commit(sha)
        said = [run.conclusion if run.status == "completed" else None for run in commit.get_check_runs()]
        status = commit.get_combined_status()
        if status.statuses:
            said.append({"success": "success", "pending": None}.get(status.state, "failure"))
        if not said:
            return "none"
        if any(one in _FAILED for one in said):
            return "failed"
        return "running" if None in said else "passed"

    def _repo(self, project: str) -> Any:
        remaining, _ = self._api.requester.rate_limiting
        if remaining == 0:
            time.sleep(min(max(0.0, self._api.requester.rate_limiting_resettime - time.time()), _LONGEST_WAIT_S))
        return self._api.get_repo(project)

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """GitHub's refusals as errors of ours; the token stands in none of them."""
        try:
            yield
        except GithubException as error:
            said = error.data.get("message", "") if isinstance(error.data, dict) else str(error.data)
            told = f"{self._url}: {what}: {error.status} {said}"
            if error.status == 401:
                raise ConfigError(
                    f"{self._url} does not take the token", "a token with scope repo: GITHUB_TOKEN"
                ) from error
            if (error.status in (403, 429) and "rate limit" in said.lower()) or error.status >= 500:
                raise PlatformError(told, "run the command again later; it goes on where it was", True) from error
            raise ConfigError(told, "name it as GitHub does, or let the token see it") from error
        except requests.RequestException as error:
            raise PlatformError(
                f"{self._url} does not answer: {type(error).__name__}", "run the command again later", True
            ) from error


def _project(found: Any) -> Project:
    return Project(found.full_name, found.default_branch, found.clone_url, found.html_url)


def _merge_request(found: Any, pipeline: Pipeline = "none") -> MergeRequest:
    state: MrState = "merged" if found.merged_at is not None else "opened" if found.state == "open" else "closed"
    return MergeRequest(found.number, found.html_url, state, pipeline, bool(found.draft))
