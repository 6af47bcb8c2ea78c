"""A team's template from `crm templates new` to an upgrade: installed by uv, held by check_template as ours are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from team_packages import README, TEMPLATE, team_package, wheel

from carrental_mlops.errors import ConfigError, TemplateError
from carrental_mlops.scaffold.compose import REPO_FOLDER
from carrental_mlops.upgrade.template_check import check_template

pytestmark = pytest.mark.e2e
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
CRM = str(Path(sys.executable).with_name("crm"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def run(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_package_made_by_crm_installed_by_uv_serves_new_upgrade_check_and_its_own_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run(CRM, "templates", "new", TEMPLATE, "--from", "fraud-realtime", cwd=tmp_path)
    package, site, wheels = tmp_path / TEMPLATE, tmp_path / "site", tmp_path / "wheels"
    env = {"PYTHONPATH": str(site), "CRM_TEMPLATE_PACKAGES": f"{TEMPLATE}-template", "CRM_WHEELS": str(wheels)}
    install = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--upgrade",
        "--python",
        sys.executable,
        "--target",
        str(site),
    ]
    run(UV, "build", "--quiet", "--wheel", "--out-dir", str(wheels), str(package), cwd=tmp_path)
    first = next(wheels.glob("*-0.1.0-*.whl"))
    run(*install, str(first), cwd=tmp_path)
    run(CRM, "new", "--template", TEMPLATE, "--name", "svc", "--no-input", cwd=tmp_path, **env)
    repo = tmp_path / "svc"
    readme = (repo / "README.md").read_text()
    assert readme.endswith(f"\nMade from `{TEMPLATE}`.\n") and "src/svc/" in readme
    project = package / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "0.1.0"', 'version = "0.2.0"'))
    text = package / "src" / "churn_batch_template" / REPO_FOLDER / "README.md"
    text.write_text(text.read_text() + "\nAsk the risk team.\n")
    run(*install, "--editable", str(package), cwd=tmp_path)
    told = json.loads(run(CRM, "upgrade", "--json", cwd=repo, **env))
    assert told["changed"] == [".crm.json", "README.md"] and told["unmerged"] == []
    assert (repo / "README.md").read_text() == readme + "\nAsk the risk team.\n"
    run(CRM, "check", "--only", "CRM1", "--only", "CRM2", "--only", "CRM3", cwd=repo, **env)
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    run(*own, cwd=package, CRM_EARLIER_WHEEL=str(first), **env)


def test_check_template_names_the_check_that_fails_and_upgrades_from_a_wheel(site: Path, tmp_path: Path) -> None:
    lint = (("ruff", "check", "."),)
    team_package(site, "1.0")
    earlier = wheel(site, tmp_path / "wheels", "1.0")
    team_package(site, "1.1", {"README.md": README + "More.\n", "extra.txt": "two\n"})
    check_template(TEMPLATE, earlier=[earlier], checks=lint)
    check_template("fraud-realtime", checks=lint)
    folder = team_package(site, "1.2", {"src/{{cookiecutter.package}}/bad.py": "import os\n"})
    with pytest.raises(TemplateError, match=r"ruff check \. fails:[\s\S]*F401"):
        check_template(TEMPLATE, checks=lint)
    (folder / REPO_FOLDER / "src" / "{{cookiecutter.package}}" / "bad.py").unlink()
    (folder / REPO_FOLDER / "config").mkdir()
    (folder / REPO_FOLDER / "config" / "crm.yaml").write_text("service: [\n")
    with pytest.raises(TemplateError, match=r"crm check says CRM1"):
        check_template(TEMPLATE, checks=lint)


def test_a_wheel_without_the_template_is_told(site: Path, tmp_path: Path) -> None:
    team_package(site, name="another")
    earlier = wheel(site, tmp_path / "wheels", "1.0")
    team_package(site, "1.1")
    with pytest.raises((TemplateError, ConfigError), match="has no template `churn-batch`"):
        check_template(TEMPLATE, earlier=[earlier], checks=())
