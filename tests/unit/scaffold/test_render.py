from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.render import new_repo

CRM = "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_a_new_repo_is_committed_and_clean(tmp_path: Path) -> None:
    made = new_repo("fraud-realtime", {"name": "branch-fraud"}, tmp_path)
    assert made.path == tmp_path / "branch-fraud"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=made.path, capture_output=True, text=True, check=True)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=made.path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert status.stdout == ""
    assert sorted(tracked) == sorted(made.files)
    assert [p.name for p in tmp_path.iterdir()] == ["branch-fraud"]


def test_the_record_names_owner_and_digest_of_every_file(tmp_path: Path) -> None:
    made = new_repo("fraud-realtime", {}, tmp_path)
    told = json.loads((made.path / ".crm.json").read_text())
    assert told["template"] == "fraud-realtime"
    assert told["answers"] == made.answers
    assert set(told["files"]) == set(made.files) - {".crm.json"}
    for path, entry in told["files"].items():
        assert entry["sha256"] == hashlib.sha256((made.path / path).read_bytes()).hexdigest()
    owners = {path: entry["owner"] for path, entry in told["files"].items()}
    assert owners["src/fraud_payments/features.py"] == owners["config/crm.yaml"] == "yours"
    assert owners["tests/test_training.py"] == owners["notebooks/explore.py"] == "yours"
    assert owners["Makefile"] == owners["tests/test_contracts.py"] == owners["Dockerfile.pipelines"] == "managed"
    assert owners["pyproject.toml"] == "merged"


def test_the_ci_file_follows_the_answer_and_no_folder_is_empty(tmp_path: Path) -> None:
    gitlab = new_repo("fraud-realtime", {"ci": "gitlab"}, tmp_path)
    github = new_repo("fraud-realtime", {"ci": "github", "name": "other"}, tmp_path)
    assert ".gitlab-ci.yml" in gitlab.files
    assert ".github/workflows/ci.yml" not in gitlab.files
    assert ".github/workflows/ci.yml" in github.files
    assert ".gitlab-ci.yml" not in github.files
    assert not [p for p in gitlab.path.rglob("*") if p.is_dir() and ".git" not in p.parts and not any(p.iterdir())]


def test_a_dry_run_writes_nothing_and_names_the_same_files(tmp_path: Path) -> None:
    told = new_repo("fraud-realtime", {}, tmp_path, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert told.commit is None
    assert told.files == new_repo("fraud-realtime", {}, tmp_path).files


def test_an_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "fraud-payments").mkdir()
    with pytest.raises(TemplateError, match="exists already\nFix: choose another --name"):
        new_repo("fraud-realtime", {}, tmp_path)
    assert list((tmp_path / "fraud-payments").iterdir()) == []


def test_an_unknown_template_names_the_closest(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no template `fraud-realtme`.*\nFix: rename it to `fraud-realtime`"):
        new_repo("fraud-realtme", {}, tmp_path)


@pytest.mark.parametrize("name", ["_base", "../fraud-realtime", "/etc", ""])
def test_only_the_catalogue_is_rendered(name: str, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no template"):
        new_repo(name, {}, tmp_path)


def test_a_missing_folder_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"is not a folder\nFix: mkdir -p .*teams"):
        new_repo("fraud-realtime", {}, tmp_path / "teams")


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    place = tmp_path
    if os.geteuid() == 0:  # root writes everywhere but into the kernel's own file systems
        place = Path("/proc")
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(TemplateError, match="cannot write in"):
        new_repo("fraud-realtime", {}, place)
    tmp_path.chmod(0o700)


def test_it_commits_without_a_git_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    made = new_repo("fraud-realtime", {}, tmp_path)
    author = subprocess.run(["git", "log", "--format=%an"], cwd=made.path, capture_output=True, text=True, check=True)
    assert author.stdout == "crm\n"


def test_it_commits_under_the_identity_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "CI")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ci@example.com")
    made = new_repo("fraud-realtime", {}, tmp_path)
    author = subprocess.run(["git", "log", "--format=%cn"], cwd=made.path, capture_output=True, text=True, check=True)
    assert author.stdout == "CI\n"


def test_it_commits_under_its_user_and_outside_the_git_that_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    made = new_repo("fraud-realtime", {}, tmp_path)
    monkeypatch.delenv("GIT_DIR")
    author = subprocess.run(["git", "log", "--format=%ae"], cwd=made.path, capture_output=True, text=True, check=True)
    assert author.stdout == "test@example.com\n"
    assert not (tmp_path / "elsewhere").exists()


def test_without_git_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(TemplateError, match="git is not on the PATH"):
        new_repo("fraud-realtime", {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def started_and_waiting(tmp_path: Path, place: Path) -> subprocess.Popen[bytes]:
    """`crm new` in a process group of its own, halted in `git add`."""
    tools = tmp_path / "tools"
    tools.mkdir()
    place.mkdir()
    halt = f'case "$*" in *" add --all"*) touch {tmp_path}/waiting; sleep 60;; esac'
    (tools / "git").write_text(f'#!/bin/sh\n{halt}\nexec {shutil.which("git")} "$@"\n')
    (tools / "git").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", CRM, "new", "--no-input", "--dir", str(place)],
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(place.iterdir())
    return process


@pytest.mark.slow
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    process = started_and_waiting(tmp_path, tmp_path / "place")
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert list((tmp_path / "place").iterdir()) == []


@pytest.mark.slow
def test_what_a_killed_process_left_goes_with_the_next_call_and_a_living_ones_stays(tmp_path: Path) -> None:
    place = tmp_path / "place"
    process = started_and_waiting(tmp_path, place)
    (left,) = place.iterdir()
    new_repo("fraud-realtime", {"name": "beside"}, place)
    assert left.is_dir()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert left.is_dir()
    new_repo("fraud-realtime", {"name": "after"}, place)
    assert sorted(p.name for p in place.iterdir()) == ["after", "beside"]
