"""CI and container files of every template, judged by the tools that know their formats."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.scaffold.catalogue import names
from carrental_mlops.scaffold.render import new_repo

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
CI_FILES = {"gitlab": ".gitlab-ci.yml", "github": ".github/workflows/ci.yml"}
SCHEMAS = {"gitlab": "vendor.gitlab-ci", "github": "vendor.github-workflows"}


def judged(repo: Path, tool: str | Path, *arguments: str) -> None:
    done = subprocess.run([tool, *arguments], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("ci", CI_FILES)
@pytest.mark.parametrize("template", names())
def test_the_ci_file_fits_its_schema_and_calls_targets_that_exist(template: str, ci: str, tmp_path: Path) -> None:
    repo = new_repo(template, {"ci": ci}, tmp_path).path
    judged(repo, BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[ci], CI_FILES[ci])
    called = set(re.findall(r"make ([a-z]+)", (repo / CI_FILES[ci]).read_text()))
    assert {"setup", "lint", "check"} <= called
    for target in called:
        judged(repo, "make", "--dry-run", target)


@pytest.mark.parametrize("template", names())
def test_the_github_workflow_pins_its_actions_and_gives_no_more_rights_than_needed(
    template: str, tmp_path: Path
) -> None:
    repo = new_repo(template, {"ci": "github"}, tmp_path).path
    judged(repo, BIN / "zizmor", "--offline", "--no-progress", "--collect=workflows", ".")


def test_zizmor_accepts_the_packages_own_workflow() -> None:
    judged(ROOT, BIN / "zizmor", "--offline", "--no-progress", "--collect=workflows", ".github")


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is a Go program and not on PATH")
@pytest.mark.parametrize("template", names())
def test_actionlint_accepts_the_github_workflow(template: str, tmp_path: Path) -> None:
    repo = new_repo(template, {"ci": "github"}, tmp_path).path
    judged(repo, "actionlint", CI_FILES["github"])
    judged(ROOT, "actionlint", CI_FILES["github"])


@pytest.mark.parametrize("template", names())
def test_hadolint_accepts_the_container_files(template: str, tmp_path: Path) -> None:
    repo = new_repo(template, {}, tmp_path).path
    judged(repo, BIN / "hadolint", "--no-color", "Dockerfile.pipelines", "Dockerfile.serving")
