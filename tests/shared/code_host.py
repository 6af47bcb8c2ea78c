"""Stand-ins for GitLab and GitHub: real HTTP servers that speak the part of their API that the fleet uses.

Repositories are bare git repos, read and pushed over HTTP through git's own `http-backend`; a merge request is taken
only from a branch that is there. What they cannot show: that the real hosts answer so; the answers follow their docs.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "secret-token-of-the-fleet"
GROUP = "ds"


@dataclass
class Hosted:
    """What a stand-in knows."""

    root: Path
    """Holds `ds/<name>.git`."""
    kind: str
    url: str = ""
    requests: list[tuple[float, str, str]] = field(default_factory=list)
    """Time, method and path of each, git's own left out."""
    merge_requests: list[dict[str, Any]] = field(default_factory=list)
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers that the next API requests get instead of an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    """In the next good answer, once."""
    pipeline: dict[str, str] = field(default_factory=dict)
    """Project to the pipeline of its merge requests: success, failed, running."""
    drafts: bool = True
    """Whether the plan has draft pull requests."""
    after_create: list[str] = field(default_factory=list)
    """`cut`: the next merge request is made, and the connection ends before the answer."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def git(self, project: str, *arguments: str) -> str:
        command = ["git", "-C", str(self.root / f"{project}.git"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def has(self, project: str, what: str) -> bool:
        command = ["git", "-C", str(self.root / f"{project}.git"), "cat-file", "-e", what]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def projects(self) -> list[str]:
        return sorted(f"{GROUP}/{path.stem}" for path in (self.root / GROUP).glob("*.git"))

    def of(self, project: str) -> list[dict[str, Any]]:
        return [one for one in self.merge_requests if one["project"] == project]

    def count(self, method: str, part: str) -> int:
        return sum(m == method and part in path for _, m, path in self.requests)


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class Handler(BaseHTTPRequestHandler):
    host: Hosted
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if ".git/" in self.path:
            self._git(body)
            return
        with self.host.lock:
            self.host.requests.append((time.monotonic(), self.command, unquote(self.path)))
            if self.host.refuse:
                status, headers = self.host.refuse.pop(0)
                self._answer(status, {"message": "API rate limit exceeded"}, headers)
                return
            extra, self.host.headers = self.host.headers, {}
            try:
                status, told = self._route(json.loads(body or b"null"))
            except Refused as no:
                status, told = no.status, {"message": no.message}
        if self.command == "POST" and status == 201 and self.host.after_create:
            self.host.after_create.pop()
            self.close_connection = True
            self.connection.close()
            return
        self._answer(status, told, extra)

    def _answer(self, status: int, told: Any, headers: dict[str, str]) -> None:
        raw = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _route(self, told: Any) -> tuple[int, Any]:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if self.host.kind == "gitlab":
            if self.headers.get("PRIVATE-TOKEN") != TOKEN:
                raise Refused(401, "401 Unauthorized")
            return GitLabApi(self.host).answer(self.command, url.path.removeprefix("/api/v4/"), asked, told)
        if self.headers.get("Authorization") not in (f"token {TOKEN}", f"Bearer {TOKEN}"):
            raise Refused(401, "Bad credentials")
        return GitHubApi(self.host).answer(self.command, url.path.strip("/"), asked, told)

    def _git(self, body: bytes) -> None:
        user = "oauth2" if self.host.kind == "gitlab" else "x-access-token"
        wanted = "Basic " + base64.b64encode(f"{user}:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        url = urlsplit(self.path)
        environment = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.host.root), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "fleet",
            "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@dataclass
class GitLabApi:
    host: Hosted

    def answer(self, method: str, path: str, asked: dict[str, str], told: Any) -> tuple[int, Any]:
        parts = [unquote(part) for part in path.split("/")]
        if parts[0] == "groups":
            if parts[1] != GROUP:
                raise Refused(404, "404 Group Not Found")
            return 200, [self.project(one) for one in self.host.projects()]
        project = self._named(parts[1])
        match (method, parts[2:]):
            case "GET", []:
                return 200, self.project(project)
            case "HEAD", ["repository", "files", file]:
                if not self.host.has(project, f"{asked['ref']}:{file}"):
                    raise Refused(404, "404 File Not Found")
                return 200, {}
            case "GET", ["merge_requests"]:
                found = [one for one in self.host.of(project) if one["source_branch"] == asked["source_branch"]]
                return 200, [self.merge_request(one) for one in reversed(found)]
            case "GET", ["merge_requests", number]:
                found = [one for one in self.host.of(project) if one["iid"] == int(number)]
                return 200, self.merge_request(found[0])
            case "PUT", ["merge_requests", number]:
                (one,) = [one for one in self.host.of(project) if one["iid"] == int(number)]
                one |= told
                return 200, self.merge_request(one)
            case "POST", ["merge_requests"]:
                return 201, self.merge_request(self.create(project, told))
        raise Refused(404, f"no such route: {method} {path}")

    def create(self, project: str, told: Any) -> dict[str, Any]:
        if not self.host.has(project, f"refs/heads/{told['source_branch']}"):
            raise Refused(400, "source branch does not exist")
        if any(o["source_branch"] == told["source_branch"] and o["state"] == "opened" for o in self.host.of(project)):
            raise Refused(409, "Another open merge request already exists for this source branch")
        made = {**told, "project": project, "iid": len(self.host.of(project)) + 1, "state": "opened"}
        self.host.merge_requests.append(made)
        return made

    def merge_request(self, one: dict[str, Any]) -> dict[str, Any]:
        status = self.host.pipeline.get(one["project"])
        return {
            **one, "id": one["iid"], "web_url": f"{self.host.url}/{one['project']}/-/merge_requests/{one['iid']}",
            "draft": one["title"].startswith("Draft: "), "head_pipeline": {"status": status} if status else None,
        }  # fmt: skip

    def project(self, name: str) -> dict[str, Any]:
        return {
            "id": self.host.projects().index(name) + 1, "path_with_namespace": name, "default_branch": "main",
            "http_url_to_repo": f"{self.host.url}/{name}.git", "web_url": f"{self.host.url}/{name}",
        }  # fmt: skip

    def _named(self, given: str) -> str:
        name = self.host.projects()[int(given) - 1] if given.isdigit() else given
        if name not in self.host.projects():
            raise Refused(404, "404 Project Not Found")
        return name


@dataclass
class GitHubApi:
    host: Hosted

    def answer(self, method: str, path: str, asked: dict[str, str], told: Any) -> tuple[int, Any]:
        match (method, path.split("/")):
            case "GET", ["orgs", group, *_] if group != GROUP:
                raise Refused(404, "Not Found")
            case "GET", ["orgs", group]:
                return 200, {"login": group, "url": f"{self.host.url}/orgs/{group}", "id": 1}
            case "GET", ["orgs", _, "repos"]:
                return 200, [self.project(one) for one in self.host.projects()]
            case _, ["repos", owner, name, *rest]:
                if f"{owner}/{name}" not in self.host.projects():
                    raise Refused(404, "Not Found")
                return self._repo(method, f"{owner}/{name}", rest, asked, told)
        raise Refused(404, f"no such route: {method} {path}")

    def _repo(self, method: str, project: str, rest: list[str], asked: dict[str, str], told: Any) -> tuple[int, Any]:
        match (method, rest):
            case "GET", []:
                return 200, self.project(project)
            case "GET", ["contents", file]:
                if not self.host.has(project, f"main:{file}"):
                    raise Refused(404, "Not Found")
                return 200, {"type": "file", "path": file, "name": file, "sha": "0" * 40}
            case "GET", ["pulls"]:
                branch = asked["head"].partition(":")[2]
                found = [one for one in self.host.of(project) if one["head"] == branch]
                return 200, [self.pull(one) for one in reversed(found)]
            case "GET", ["pulls", number]:
                return 200, self.pull(next(o for o in self.host.of(project) if o["number"] == int(number)))
            case "PATCH", ["pulls", number]:
                (one,) = [one for one in self.host.of(project) if one["number"] == int(number)]
                one |= told
                return 200, self.pull(one)
            case "POST", ["pulls"]:
                return 201, self.pull(self.create(project, told))
            case "GET", ["commits", sha]:
                return 200, {"sha": sha, "url": f"{self.host.url}/repos/{project}/commits/{sha}"}
            case "GET", ["commits", _, "check-runs"]:
                said = self.host.pipeline.get(project)
                conclusion = {"success": "success", "failed": "failure"}.get(said or "")
                run = {"id": 1, "status": "completed" if conclusion else "in_progress", "conclusion": conclusion}
                return 200, {"total_count": int(bool(said)), "check_runs": [run] if said else []}
            case "GET", ["commits", _, "status"]:
                return 200, {"state": "pending", "statuses": [], "total_count": 0}
        raise Refused(404, f"no such route: {method} {rest}")

    def create(self, project: str, told: Any) -> dict[str, Any]:
        if not self.host.has(project, f"refs/heads/{told['head']}"):
            raise Refused(422, "Validation Failed: head invalid")
        if told.get("draft") and not self.host.drafts:
            raise Refused(422, "Draft pull requests are not supported in this repository.")
        if any(o["head"] == told["head"] and o["state"] == "open" for o in self.host.of(project)):
            raise Refused(422, f"A pull request already exists for {project}:{told['head']}.")
        made = {**told, "project": project, "number": len(self.host.of(project)) + 1, "state": "open"}
        self.host.merge_requests.append(made)
        return made

    def pull(self, one: dict[str, Any]) -> dict[str, Any]:
        place = f"{self.host.url}/repos/{one['project']}/pulls/{one['number']}"
        sha = self.host.git(one["project"], "rev-parse", f"refs/heads/{one['head']}")
        return {
            **one, "id": one["number"], "url": place, "html_url": place, "draft": bool(one.get("draft")),
            "head": {"ref": one["head"], "sha": sha}, "base": {"ref": one["base"]},
            "merged_at": "2026-03-02T10:00:00Z" if one.get("merged") else None,
        }  # fmt: skip

    def project(self, name: str) -> dict[str, Any]:
        return {
            "id": 1, "name": name.partition("/")[2], "full_name": name, "default_branch": "main", "archived": False,
            "url": f"{self.host.url}/repos/{name}", "clone_url": f"{self.host.url}/{name}.git", "topics": [],
            "html_url": f"{self.host.url}/{name}", "owner": {"login": GROUP},
        }  # fmt: skip


@contextmanager
def code_host(root: Path, kind: str) -> Iterator[Hosted]:
    """A stand-in of that kind (`gitlab`, `github`) over the bare repos in `root/ds`."""
    host = Hosted(root, kind)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"host": host}))
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
