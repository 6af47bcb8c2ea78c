"""All that knows GitLab's API."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.fleet.hosting import MergeRequest, MrState, Pipeline, Project, Proposal
from carrental_mlops.scaffold.ownership import RECORD

_STATES: dict[str, MrState] = {"opened": "opened", "locked": "opened", "merged": "merged", "closed": "closed"}
_PIPELINES: dict[str, Pipeline] = {"success": "passed", "failed": "failed", "canceled": "failed", "skipped": "passed"}
_LABEL = "crm-fleet"
_LONGEST_WAIT_S = 120.0
_DRAFT = "Draft: "


class GitLab:
    """A GitLab; see `hosting.Host`. It waits as `Retry-After` and `RateLimit-Reset` say, and backs off on 5xx.

    Args:
        url: of the instance.
        token: with the scopes `api` and `write_repository`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token
        self._api = gitlab.Gitlab(self._url, private_token=token, retry_transient_errors=True, timeout=30, per_page=100)
        self._api.session.hooks["response"].append(_wait_at_the_limit)

    def projects(self, group: str, topic: str | None) -> Iterator[Project]:
        """See `Host.projects`."""
        wanted = {"topic": topic} if topic else {}
        with self._said(f"group {group}"):
            found = self._api.groups.get(group, lazy=True).projects.list(
                iterator=True, include_subgroups=True, archived=False, **wanted
            )
            for one in found:
                if one.attributes.get("default_branch") and self._is_ours(one):
                    yield _project(one)

    def project(self, path: str) -> Project:
        """See `Host.project`."""
        with self._said(path):
            return _project(self._api.projects.get(path))

    def find(self, project: str, branch: str) -> list[MergeRequest]:
        """See `Host.find`."""
        with self._said(project):
            found = self._lazy(project).mergerequests.list(
                source_branch=branch, state="all", order_by="created_at", sort="desc", get_all=True
            )
            return [_merge_request(one) for one in found]

    def state(self, project: str, number: int) -> MergeRequest:
        """See `Host.state`."""
        with self._said(f"{project}!{number}"):
            return _merge_request(self._lazy(project).mergerequests.get(number))

    def open(self, project: str, proposal: Proposal) -> MergeRequest:
        """See `Host.open`."""
        told = {
            "source_branch": proposal.branch,
            "target_branch": proposal.target,
            "title": f"{_DRAFT if proposal.draft else ''}{proposal.title}",
            "description": proposal.text,
            "labels": [_LABEL],
            "remove_source_branch": True,
        }
        with self._said(project):
            try:
                return _merge_request(self._lazy(project).mergerequests.create(told))
            except GitlabHttpError as error:
                if error.response_code != 409:
                    raise
            except GitlabError as error:
                if error.response_code != 409:
                    raise
        return self.find(project, proposal.branch)[0]

    def update(self, project: str, number: int, proposal: Proposal) -> MergeRequest:
        """See `Host.update`."""
        told = {"title": f"{_DRAFT if proposal.draft else ''}{proposal.title}", "description": proposal.text}
        with self._said(f"{project}!{number}"):
            self._lazy(project).mergerequests.update(number, told)
        return self.state(project, number)

    def git_header(self, url: str) -> str | None:
        """See `Host.git_header`."""
        if (urlsplit(url).scheme, urlsplit(url).netloc) != (urlsplit(self._url).scheme, urlsplit(self._url).netloc):
            return None
        return "Authorization: Basic " + base64.b64encode(f"oauth2:{self._token}".encode()).decode()

    def _lazy(self, project: str) -> Any:
        return self._api.projects.get(project, lazy=True)

    def _is_ours(self, found: Any) -> bool:
        try:
            self._lazy(found.id).files.head(RECORD, ref=found.attributes["default_branch"])
        except GitlabError as error:
            if error.response_code == 404:
                return False
            raise
        return True

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """GitLab's refusals as errors of ours; the token stands in none of them."""
        try:
            yield
        except GitlabAuthenticationError as error:
            raise ConfigError(f"{self._url} does not take the token", "a token with scope api: GITLAB_TOKEN") from error
        except GitlabError as error:
            code = error.response_code or 0
            said = f"{self._url}: {what}: {code} {error.error_message}"
            if code == 429 or code >= 500:
                raise PlatformError(said, "run the command again later; it goes on where it was", True) from error
            raise ConfigError(said, "name it as GitLab does, or let the token see it") from error
        except requests.RequestException as error:
            raise PlatformError(
                f"{self._url} does not answer: {type(error).__name__}", "run the command again later", True
            ) from error


def _project(found: Any) -> Project:
    told = found.attributes
    return Project(told["path_with_namespace"], told["default_branch"], told["http_url_to_repo"], told["web_url"])


def _merge_request(found: Any) -> MergeRequest:
    told = found.attributes
    status = (told.get("head_pipeline") or {}).get("status")
    pipeline: Pipeline = "none" if status is None else _PIPELINES.get(status, "running")
    return MergeRequest(int(told["iid"]), told["web_url"], _STATES[told["state"]], pipeline, bool(told.get("draft")))


def _wait_at_the_limit(response: requests.Response, *_: Any, **__: Any) -> None:
    """Before the next request, where this one was the last that GitLab's limit lets through.

    Source: `RateLimit-Remaining` and `RateLimit-Reset` (seconds since 1970), as GitLab documents its response headers.
    """
    remaining, reset = (response.headers.get(f"RateLimit-{name}", "") for name in ("Remaining", "Reset"))
    if response.ok and remaining == "0" and reset.isdigit():
        time.sleep(min(max(0.0, int(reset) - time.time()), _LONGEST_WAIT_S))
