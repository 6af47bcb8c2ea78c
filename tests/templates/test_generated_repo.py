"""Every template as generated, untouched: its own tests, its linter, its types; and a training from the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.scaffold.catalogue import names
from carrental_mlops.scaffold.render import new_repo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session", params=names())
def repo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repo(request.param, {"name": "night-watch", "tier": "2"}, tmp_path_factory.mktemp("generated")).path


def run(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(repo / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=False)


def test_its_own_tests_pass(repo: Path) -> None:
    done = run(repo, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("check", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=" ".join)
def test_it_is_clean(repo: Path, check: tuple[str, ...]) -> None:
    done = run(repo, "-m", *check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_trains_with_no_edit_passes_its_gate_and_stores_nothing(repo: Path) -> None:
    code = "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = run(repo, "-c", code, "run", "training", "--engine", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, text=True, check=True)
    assert changed.stdout == ""


def test_a_data_scientist_reads_it_in_one_sitting(repo: Path) -> None:
    theirs = [*(repo / "src").rglob("*.py"), *(repo / "config").glob("*.yaml")]
    assert sum(len(p.read_text().splitlines()) for p in theirs) <= 200
