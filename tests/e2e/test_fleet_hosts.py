"""Campaigns through a code host: stand-ins that speak GitLab's and GitHub's API over HTTP, real clones and pushes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from code_host import TOKEN, Hosted, code_host
from small_fleet import FIXED, bare, fleet_of, two_versions

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.fleet.campaign import Campaign, Result, Settings
from carrental_mlops.fleet.campaign_state import CampaignState, Entry
from carrental_mlops.fleet.campaign_text import line
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.hosting import Host, Kind, host_of
from carrental_mlops.fleet.inventory import read_fleet

pytest.importorskip("gitlab", reason="the extra `fleet` is not installed")
pytest.importorskip("github", reason="the extra `fleet` is not installed")
pytestmark = pytest.mark.e2e
BRANCH = "crm-upgrade/2.0.0"


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remotes")
    old, _, _ = two_versions(folder / "versions")
    fleet_of(folder / "repos", old, "a", "b-conflict")
    return folder


@pytest.fixture(params=["gitlab", "github"])
def host(
    request: pytest.FixtureRequest, repos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hosted]:
    for name in ("a", "b-conflict"):
        bare(repos / "repos" / name, tmp_path / "ds" / f"{name}.git")
    monkeypatch.setenv("GITLAB_TOKEN" if request.param == "gitlab" else "GITHUB_TOKEN", TOKEN)
    with code_host(tmp_path, request.param) as made:
        yield made


def _open(kind: Kind, url: str | None) -> Host:
    if kind == "gitlab":
        return host_of(kind, url)
    from carrental_mlops.fleet.github import GitHub

    return GitHub(url or "", TOKEN, pause_s=0)


def _run(host: Hosted, repos: Path, tmp_path: Path, only: str = "*", canary: str = "", **how: object) -> Result:
    _, new, versions = two_versions(repos / "versions")
    fleet = read_fleet(f"{host.kind}:ds", host.url, canary=[canary], open_host=_open).only([only])
    settings = replace(Settings(jobs=1, gate="made", stop_above=1.0), **how)  # type: ignore[arg-type]
    state = CampaignState(tmp_path / "state" / "upgrade.jsonl", "2.0.0")
    return Campaign(fleet, new, Clones(tmp_path / "clones", fleet.host), settings, versions).run(state)


def _only(result: Result) -> Entry:
    (entry,) = result.entries
    return entry


def test_each_repo_gets_one_merge_request_with_the_report(host: Hosted, repos: Path, tmp_path: Path) -> None:
    result = _run(host, repos, tmp_path)
    assert [(e.repo, e.step, e.verdict) for e in result.entries] == [
        ("ds/a", "opened", "clean"),
        ("ds/b-conflict", "opened", "conflicts"),
    ]
    assert host.git("ds/a", "show", f"{BRANCH}:Makefile") + "\n" == FIXED
    clean, draft = host.merge_requests
    body = "description" if host.kind == "gitlab" else "body"
    assert clean["title"] == "Upgrade carrental-mlops 1.0.0 to 2.0.0"
    assert "This repo overrides no hook." in clean[body] and "`Makefile`" in draft[body]
    assert draft["title"].startswith("Draft: ") or draft["draft"] is True
    _run(host, repos, tmp_path)
    (tmp_path / "state" / "upgrade.jsonl").unlink()
    again = _run(host, repos, tmp_path)
    assert len(host.merge_requests) == 2 and [e.step for e in again.entries] == ["opened", "opened"]
    told = [p for p in (tmp_path / "state").rglob("*") if p.is_file()] + list((tmp_path / "clones").rglob("config"))
    assert told and all(TOKEN not in path.read_text() for path in told)


def test_a_merge_request_whose_answer_was_lost_is_found_again(host: Hosted, repos: Path, tmp_path: Path) -> None:
    host.after_create.append("cut")
    first = _only(_run(host, repos, tmp_path, "a"))
    second = _only(_run(host, repos, tmp_path, "a"))
    assert len(host.merge_requests) == 1
    assert first.step in ("failed", "opened") and second.step == "opened" and second.number == 1


def test_a_closed_merge_request_is_not_opened_again(host: Hosted, repos: Path, tmp_path: Path) -> None:
    _run(host, repos, tmp_path, "a")
    host.merge_requests[0]["state"] = "closed"
    (tmp_path / "state" / "upgrade.jsonl").unlink()
    assert _only(_run(host, repos, tmp_path, "a")).step == "closed"
    assert len(host.merge_requests) == 1


def test_a_closed_merge_request_counts_on_neither_side_and_is_made_anew_only_on_wish(
    host: Hosted, repos: Path, tmp_path: Path
) -> None:
    def go(**how: object) -> Result:
        return _run(host, repos, tmp_path, canary="a", **{"stop_above": 0.0, **how})

    assert "have not ended" in go(gate="pipeline").stopped
    host.merge_requests[0]["state"] = "closed"
    stopped = go(gate="pipeline")
    assert "all 1 merge requests were closed" in stopped.stopped and not stopped.failing
    assert line(stopped.entries[0]) == "closed by a person" and len(host.merge_requests) == 1
    on = go(gate="made")
    assert [e.step for e in on.entries] == ["closed", "opened"] and on.stopped.startswith("wave 1")
    host.requests.clear()
    assert go(gate="made").entries[0].step == "closed" and host.count("POST", "") == 0
    again = go(gate="made", again=True)
    assert again.entries[0].step == "opened" and again.entries[0].number == 2 and len(host.merge_requests) == 3
    assert len(go(gate="made", again=True).entries) == 2 and len(host.merge_requests) == 3


def test_one_that_a_person_opened_again_is_followed_again(host: Hosted, repos: Path, tmp_path: Path) -> None:
    _run(host, repos, tmp_path, "a")
    host.merge_requests[0]["state"] = "closed"
    assert _only(_run(host, repos, tmp_path, "a")).step == "closed"
    host.merge_requests[0]["state"] = "opened" if host.kind == "gitlab" else "open"
    assert _only(_run(host, repos, tmp_path, "a")).step == "opened" and len(host.merge_requests) == 1


def test_the_next_wave_waits_for_the_canarys_pipeline(host: Hosted, repos: Path, tmp_path: Path) -> None:
    def go() -> Result:
        return _run(host, repos, tmp_path, canary="a", gate="pipeline", stop_above=0.5)

    assert "have not ended" in go().stopped and len(host.merge_requests) == 1
    host.pipeline["ds/a"] = "failed"
    failed = go()
    assert failed.failing and failed.entries[0].pipeline == "failed" and len(host.merge_requests) == 1
    host.pipeline["ds/a"] = "success"
    assert len(go().entries) == 2 and len(host.merge_requests) == 2


def test_a_rate_limit_is_waited_for_as_the_host_says(host: Hosted, repos: Path, tmp_path: Path) -> None:
    fleet = read_fleet(f"{host.kind}:ds", host.url, open_host=_open)
    assert fleet.host is not None
    status = 429 if host.kind == "gitlab" else 403
    host.refuse.append((status, {"Retry-After": "1"}))
    host.requests.clear()
    begun = time.monotonic()
    assert fleet.host.find("ds/a", BRANCH) == []
    assert len(host.requests) == 2 and time.monotonic() - begun >= 0.95


def test_the_last_request_of_a_limit_is_followed_by_a_wait(host: Hosted, repos: Path, tmp_path: Path) -> None:
    fleet = read_fleet(f"{host.kind}:ds", host.url, open_host=_open)
    assert fleet.host is not None
    reset = str(int(time.time()) + 2)
    name = "RateLimit" if host.kind == "gitlab" else "X-RateLimit"
    host.headers = {f"{name}-Remaining": "0", f"{name}-Limit": "60", f"{name}-Reset": reset}
    fleet.host.find("ds/a", BRANCH)
    fleet.host.find("ds/a", BRANCH)
    assert time.time() >= int(reset) - 0.1


def test_a_server_error_is_tried_again(host: Hosted, repos: Path, tmp_path: Path) -> None:
    fleet = read_fleet(f"{host.kind}:ds", host.url, open_host=_open)
    assert fleet.host is not None
    host.refuse.append((502, {}))
    assert fleet.host.find("ds/a", BRANCH) == []


def test_a_refused_token_is_named_and_not_shown(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "GITLAB_TOKEN" if host.kind == "gitlab" else "GITHUB_TOKEN"
    monkeypatch.setenv(name, "another-secret")
    with pytest.raises(ConfigError, match=name) as error:
        read_fleet(f"{host.kind}:ds", host.url)
    assert "another-secret" not in str(error.value)
    monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        read_fleet(f"{host.kind}:ds", host.url)


def test_an_unknown_group_is_said(host: Hosted) -> None:
    with pytest.raises(ConfigError, match="404"):
        read_fleet(f"{host.kind}:nobody", host.url, open_host=_open)


def test_a_push_over_somebodys_branch_is_refused(host: Hosted, repos: Path, tmp_path: Path) -> None:
    host.git("ds/a", "branch", BRANCH, "main")
    entry = _only(_run(host, repos, tmp_path, "a"))
    assert entry.step == "failed" and "somebody's" in entry.why and host.merge_requests == []


def test_our_own_stale_branch_is_replaced(host: Hosted, repos: Path, tmp_path: Path) -> None:
    _run(host, repos, tmp_path, "a")
    host.merge_requests.clear()
    tree = host.git("ds/a", "rev-parse", "main^{tree}")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    made = host.git("ds/a", *identity, "commit-tree", tree, "-p", "main", "-m", "team")
    host.git("ds/a", "update-ref", "refs/heads/main", made)
    (tmp_path / "state" / "upgrade.jsonl").unlink()
    assert _only(_run(host, repos, tmp_path, "a")).step == "opened"
    assert host.git("ds/a", "rev-parse", f"{BRANCH}^") == made


def test_a_repo_that_no_template_made_is_left_out(host: Hosted, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "ds" / "notes.git")], check=True)
    fleet = read_fleet(f"{host.kind}:ds", host.url, open_host=_open)
    assert [one.name for one in fleet.members] == ["ds/a", "ds/b-conflict"]


def test_a_plan_without_drafts_says_it_in_the_title(host: Hosted, repos: Path, tmp_path: Path) -> None:
    host.drafts = False
    assert _only(_run(host, repos, tmp_path, "b-conflict")).step == "opened"
    assert host.merge_requests[0]["title"].startswith("Draft: ")


def test_a_host_that_is_down_is_a_platform_error() -> None:
    from carrental_mlops.fleet.gitlab import GitLab

    api = GitLab("http://127.0.0.1:9", TOKEN)
    api._api.retry_transient_errors = False
    with pytest.raises(PlatformError, match="does not answer"):
        api.project("ds/a")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_fleet import two_versions
from carrental_mlops.fleet.campaign import Campaign, Settings
from carrental_mlops.fleet.campaign_state import CampaignState
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.inventory import read_fleet
root, repos, kind, url = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]
_, new, versions = two_versions(repos / "versions")
fleet = read_fleet(f"{kind}:ds", url)
state = CampaignState(root / "state" / "upgrade.jsonl", "2.0.0")
settings = Settings(jobs=2, gate="made", stop_above=1.0, waves=("100%",))
result = Campaign(fleet, new, Clones(root / "clones", fleet.host), settings, versions).run(state)
print(*(entry.step for entry in result.entries))
"""


def test_killed_again_and_again_it_ends_with_one_merge_request_each(repos: Path, tmp_path: Path) -> None:
    names = [f"r{n}" for n in range(6)]
    for name in names:
        bare(repos / "repos" / "a", tmp_path / "ds" / f"{name}.git")
    shared = str(Path(__file__).parents[1] / "shared")
    with code_host(tmp_path, "gitlab") as host:
        command = [sys.executable, "-c", KILLED, shared, str(tmp_path), str(repos), host.kind, host.url]
        environment = {**os.environ, "GITLAB_TOKEN": TOKEN}
        kills = 0
        for wanted in range(1, 7):
            running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while running.poll() is None and len(host.merge_requests) < wanted:
                time.sleep(0.005)
            kills += running.poll() is None
            running.kill()
            running.communicate()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert kills >= 4 and done.stdout.split() == ["opened"] * 6
        assert sorted(one["project"] for one in host.merge_requests) == [f"ds/{name}" for name in names]
