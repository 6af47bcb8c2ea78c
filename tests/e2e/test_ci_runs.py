"""The GitLab pipeline of a fresh repo, run by gitlab-ci-local: which jobs each event starts, and a gate that says no.

Its jobs run as they stand in the file, `make setup` included; `apt-get` alone is one that does nothing, for what it
would install is here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from osv_records import osv_record

from carrental_mlops.deploy.ci import gitlab
from carrental_mlops.deploy.ci.definition import Event
from carrental_mlops.deploy.ci.model_repo import MODEL_REPO
from carrental_mlops.scaffold.render import new_repo

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
VERSION = "4.60.1"
EVENTS: dict[Event, dict[str, str]] = {
    "merge_request": {"CI_PIPELINE_SOURCE": "merge_request_event"},
    "main": {"CI_PIPELINE_SOURCE": "push"},
    "nightly": {"CI_PIPELINE_SOURCE": "schedule"},
    "rollback": {"CI_PIPELINE_SOURCE": "web", "CRM_DO": "rollback"},
}
INFRASTRUCTURE = {name: "x" for job in MODEL_REPO.jobs for name in job.wants} | {gitlab._PROPOSE_TOKEN: "x"}
"""GitLab's own token may not open a merge request, so there the job that does wants one of its own."""


@pytest.fixture(scope="session")
def gitlab_ci_local() -> Path:
    """From npm, kept in the cache of this user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "crm-e2e" / f"gitlab-ci-local-{VERSION}"
    program = cache / "node_modules" / ".bin" / "gitlab-ci-local"
    if not program.is_file():
        npm = shutil.which("npm")
        if npm is None or shutil.which("rsync") is None:
            pytest.skip("gitlab-ci-local wants npm (Node 20) and rsync")
        install = [npm, "install", "--silent", "--prefix", str(cache), f"gitlab-ci-local@{VERSION}"]
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=1200)
        if done.returncode:
            pytest.skip(f"npm cannot install gitlab-ci-local: {done.stderr.strip()[-200:]}")
    return program


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repo("fraud-realtime", {"name": "night-ci", "tier": "2"}, tmp_path_factory.mktemp("ci")).path


def local(program: Path, repo: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    given = [part for name, value in variables.items() for part in ("--variable", f"{name}={value}")]
    shim = repo.parent / "shim"
    shim.mkdir(exist_ok=True)
    (shim / "apt-get").write_text("#!/bin/sh\nexit 0\n")
    (shim / "apt-get").chmod(0o755)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CI_", "GITLAB_"))}
    env |= {"PATH": f"{shim}:{env['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [program, *given, "--force-shell-executor", *arguments]
    return subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=False, timeout=1500)


def started(told: str) -> set[str]:
    """Names in the table of `--list`."""
    lines = told.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("name "))
    return {line.split()[0] for line in lines[head + 1 :] if line.strip()}


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_starts_the_jobs_that_the_definition_names(event: Event, gitlab_ci_local: Path, repo: Path) -> None:
    done = local(gitlab_ci_local, repo, EVENTS[event] | INFRASTRUCTURE, "--list")
    assert started(done.stdout) == {job.name for job in MODEL_REPO.jobs if event in job.on}, done.stderr


@pytest.mark.parametrize("event", ["merge_request", "main"])
def test_with_no_infrastructure_only_what_needs_none_starts(event: Event, gitlab_ci_local: Path, repo: Path) -> None:
    done = local(gitlab_ci_local, repo, EVENTS[event], "--list")
    assert started(done.stdout) == {job.name for job in MODEL_REPO.jobs if event in job.on and not job.wants}


def test_a_merge_request_whose_model_the_gate_refuses_fails_in_the_job_gate_and_still_has_its_comment(
    gitlab_ci_local: Path, repo: Path
) -> None:
    records = repo.parent / "osv"
    records.mkdir()
    (records / "PYSEC-1.json").write_text(json.dumps(osv_record("PYSEC-1", "nobody-has-this", "9.9")))
    few = {"CRM_SAMPLE": "sim://fraud?rows=3000&days=90", "CRM": str(ROOT), "CRM_OSV": str(records)}
    variables = EVENTS["merge_request"] | few
    done = local(gitlab_ci_local, repo, variables, "config", "sample", "gate", "render", "comment")
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    for name, result in {
        "config": "PASS",
        "sample": "PASS",
        "gate": "FAIL",
        "render": "PASS",
        "comment": "PASS",
    }.items():
        assert any(line.split() == [result, name] for line in said.splitlines()), (name, said)
    assert "**Gate: refused.**" in said, "without a token the job prints its comment"
    assert "xychart-beta" in said
