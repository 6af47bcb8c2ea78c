"""A tuning run's parameters as a merge request: a real search, stand-ins of both hosts, real clones and pushes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from code_host import TOKEN, Hosted, code_host
from crm_process import CRM, finished, fraud_repo, training
from small_fleet import bare
from template_versions import commit, git

from carrental_mlops.deploy.ci.run_record import RunRecord, Tuned

pytest.importorskip("gitlab", reason="the extra `fleet` is not installed")
pytest.importorskip("github", reason="the extra `fleet` is not installed")
pytestmark = pytest.mark.e2e
BRANCH, FILE, PROJECT = "crm/tuned-parameters", "config/crm.yaml", "ds/night-watch"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repo, and the record of a training in it that tuned."""
    folder = tmp_path_factory.mktemp("tuned")
    repo = fraud_repo(folder)
    record = folder / "run.json"
    trials = "pipelines.training.steps.train.tuning_trials=3"
    code, run = finished(training(20, "--engine", "local", "--set", trials, "--record", str(record)), repo)
    assert code == 0, run.said
    return repo, record


@pytest.fixture(params=["gitlab", "github"])
def host(request: pytest.FixtureRequest, tuned: tuple[Path, Path], tmp_path: Path) -> Iterator[Hosted]:
    (tmp_path / "ds").mkdir()
    bare(tuned[0], tmp_path / f"{PROJECT}.git")
    with code_host(tmp_path, request.param) as made:
        yield made


def _propose(host: Hosted, record: Path, *words: str, code: int = 0) -> Any:
    """What the CI's job runs, told by its own variables where it is."""
    told = {"gitlab": {"CI_PROJECT_PATH": PROJECT, "CI_SERVER_URL": host.url, "GITLAB_TOKEN": TOKEN},
            "github": {"GITHUB_REPOSITORY": PROJECT, "GITHUB_API_URL": host.url, "GITHUB_TOKEN": TOKEN}}  # fmt: skip
    environment = {**os.environ, **told[host.kind], "CRM_HOST": host.kind}
    done = subprocess.run([CRM, "propose", str(record), "--json", *words], env=environment, capture_output=True,
                          text=True, cwd=record.parent, timeout=120, check=False)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def _again(record: Path, tmp_path: Path, **after: float) -> Path:
    """The record of a later night, that found other values."""
    found = RunRecord.read(record)
    later = {f"steps.train.{name}": Tuned(before=1, after=value) for name, value in after.items()}
    found.model_copy(update={"tuned": later, "run_id": "later"}).write(tmp_path / "later.json")
    return tmp_path / "later.json"


def _body(host: Hosted) -> str:
    return str(host.merge_requests[-1]["description" if host.kind == "gitlab" else "body"])


def test_the_search_is_recorded_by_the_keys_of_crm_yaml(tuned: tuple[Path, Path]) -> None:
    found = RunRecord.read(tuned[1])
    before = {"num_leaves": 15, "min_child_samples": 40, "learning_rate": 0.03, "colsample_bytree": 0.6,
              "reg_lambda": 5.0}  # fmt: skip
    assert {key: one.before for key, one in found.tuned.items()} == {f"steps.train.{n}": v for n, v in before.items()}
    assert any(one.before != one.after for one in found.tuned.values()) and found.tuned_elsewhere == ()


def test_one_merge_request_with_the_parameters_and_figures(host: Hosted, tuned: tuple[Path, Path]) -> None:
    repo, record = tuned
    tried = _propose(host, record, "--dry-run")
    assert tried["did"] == "tried" and host.merge_requests == [] and not host.has(PROJECT, f"refs/heads/{BRANCH}")
    opened = _propose(host, record)
    assert opened["did"] == "opened" and opened["text"] == tried["text"] == _body(host)
    before, after = (yaml.safe_load(host.git(PROJECT, "show", f"{at}:{FILE}")) for at in ("main", BRANCH))
    found = RunRecord.read(record).tuned
    chosen = {key.rpartition(".")[2]: one.after for key, one in found.items() if one.after != one.before}
    assert after["steps"].pop("train") == {**before["steps"].pop("train", {}), **chosen}
    assert after == before
    assert host.git(PROJECT, "diff", "--name-only", "main", BRANCH) == FILE
    assert host.git(PROJECT, "rev-parse", f"{BRANCH}^") == git(repo, "rev-parse", "HEAD").strip()
    assert all(f"| `steps.train.{name}` |" in _body(host) for name in chosen)
    assert "**Gate: passed.**" in _body(host) and "| roc_auc |" in _body(host)


def test_the_next_night_brings_the_same_one_up_to_date(host: Hosted, tuned: tuple[Path, Path], tmp_path: Path) -> None:
    _propose(host, tuned[1])
    assert _propose(host, tuned[1])["did"] == "updated" and len(host.merge_requests) == 1
    updated = _propose(host, _again(tuned[1], tmp_path, num_leaves=9))
    assert updated["did"] == "updated" and len(host.merge_requests) == 1 and "| 9 |" in _body(host)
    assert host.merge_requests[0]["title"] == "Tuned parameters: num_leaves"
    assert yaml.safe_load(host.git(PROJECT, "show", f"{BRANCH}:{FILE}"))["steps"]["train"]["num_leaves"] == 9
    assert host.git(PROJECT, "rev-list", "--count", f"main..{BRANCH}") == "1"


def test_what_a_person_committed_to_the_branch_is_not_replaced(
    host: Hosted, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    _propose(host, tuned[1])
    git(tmp_path, "clone", "--quiet", "--branch", BRANCH, f"{PROJECT}.git", "work")
    (tmp_path / "work" / "note.txt").write_text("mine")
    mine = commit(tmp_path / "work")
    git(tmp_path / "work", "push", "--quiet", "origin", BRANCH)
    said = _propose(host, _again(tuned[1], tmp_path, num_leaves=9), code=1)
    assert "holds somebody's commits" in said and host.git(PROJECT, "rev-parse", BRANCH) == mine


def test_what_the_gate_refused_or_the_repo_has_already_is_proposed_to_nobody(
    host: Hosted, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    refused = tmp_path / "refused.json"
    RunRecord.read(tuned[1]).model_copy(update={"refused": "roc_auc is low"}).write(refused)
    assert "roc_auc is low" in _propose(host, refused)["why"]
    _propose(host, tuned[1])
    host.git(PROJECT, "update-ref", "refs/heads/main", f"refs/heads/{BRANCH}")  # merged
    host.merge_requests[0]["state"] = "merged" if host.kind == "gitlab" else "closed"
    assert _propose(host, tuned[1])["did"] == "nothing" and len(host.merge_requests) == 1
    assert _propose(host, _again(tuned[1], tmp_path, num_leaves=9))["did"] == "opened"


def test_a_run_that_tuned_nothing_says_how(host: Hosted, tuned: tuple[Path, Path], tmp_path: Path) -> None:
    plain = tmp_path / "plain.json"
    RunRecord.read(tuned[1]).model_copy(update={"tuned": {}}).write(plain)
    assert "steps.train.tuning_trials=50" in _propose(host, plain, code=1)
