"""A team's template next to ours: found, allowed, composed by reference, used by crm new, upgrade and check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from team_packages import PACKAGE, README, TEMPLATE, team_package, wheel
from template_versions import commit, git

from carrental_mlops import __version__
from carrental_mlops.cli.main import main
from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.catalogue import find
from carrental_mlops.scaffold.compose import REPO_FOLDER, files_of
from carrental_mlops.scaffold.ownership import TemplatePackage, read_record
from carrental_mlops.scaffold.render import new_repo

CRM = "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"


def crm(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as left:
        return int(left.code or 0)


def test_a_repo_is_ours_with_the_teams_files_and_says_where_from(site: Path, tmp_path: Path) -> None:
    team_package(site, told={"tier": ["3", "2"], "region": "eu", "__prompts__": {"region": "Where it runs"}})
    ours = new_repo("fraud-realtime", {"name": "one", "tier": "3"}, tmp_path).path
    theirs = new_repo(TEMPLATE, {"name": "one"}, _folder(tmp_path)).path
    differ = {p.as_posix() for p in files_of(theirs) if p.parts[0] != ".git"} ^ {
        p.as_posix() for p in files_of(ours) if p.parts[0] != ".git"
    }
    assert differ == {"extra.txt"}
    text = (ours / "README.md").read_text().replace(find("fraud-realtime").summary, "Of the risk team.")
    assert (theirs / "README.md").read_text() == text + "\nOurs.\n"
    assert (theirs / "Makefile").read_bytes() == (ours / "Makefile").read_bytes()
    assert read_record(theirs).package == TemplatePackage(PACKAGE, "1.0")
    assert read_record(theirs).answers["region"] == "eu" and read_record(ours).package is None
    assert f"of {PACKAGE} 1.0 on carrental-mlops {__version__}" in git(theirs, "log", "-1", "--format=%s")


def test_a_package_that_the_setting_does_not_name_needs_trust(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    team_package(site)
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", "another")
    monkeypatch.chdir(tmp_path)
    assert crm("new", "--template", TEMPLATE, "--no-input") == 1
    assert "which CRM_TEMPLATE_PACKAGES does not name\nFix: read what it writes" in capsys.readouterr().err
    assert crm("templates", "show", TEMPLATE) == 1
    assert crm("templates", "list", "--json") == 0
    told = {t["name"]: t for t in json.loads(capsys.readouterr().out)}
    assert told[TEMPLATE]["allowed"] is False and "not allowed" in told[TEMPLATE]["summary"]
    assert told["fraud-realtime"]["from"] == f"carrental-mlops {__version__}"
    assert crm("new", "--template", TEMPLATE, "--no-input", "--trust", "--name", "mine", "--dry-run") == 0
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", "risk.templates")  # one spelling of the name is as good as another
    assert crm("templates", "list") == 0
    assert f"{TEMPLATE}  Of the risk team.  ({PACKAGE} 1.0 on carrental-mlops" in capsys.readouterr().out


def test_ours_goes_before_a_team_that_takes_its_name_and_two_teams_are_told(site: Path, tmp_path: Path) -> None:
    team_package(site, name="fraud-realtime")
    assert read_record(new_repo("fraud-realtime", {}, tmp_path).path).package is None
    team_package(site)
    team_package(site, distribution="other_templates", module="other_templates.churn")
    with pytest.raises(TemplateError, match=r"other-templates and risk-templates both have|risk-templates and other"):
        new_repo(TEMPLATE, {}, tmp_path)
    with pytest.raises(TemplateError, match="rename it to `churn-batch`"):
        new_repo("churn-bach", {}, tmp_path)


def test_a_package_that_an_installer_left_broken_hides_no_other(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    team_package(site)
    team_package(site, distribution="broken", module="broken.churn", name="other")
    about = site / "broken-1.0.dist-info"
    (about / "direct_url.json").write_text("[")
    assert crm("templates", "list") == 0 and "other  not allowed" in capsys.readouterr().out
    (about / "METADATA").write_text("")
    assert crm("templates", "list") == 0
    told = capsys.readouterr().out
    assert f"{TEMPLATE}  Of the risk team." in told and "other" not in told


def test_an_upgrade_brings_the_teams_new_version_and_keeps_edits(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(f"line {n}\n" for n in range(9))
    team_package(site, files={"README.md": README, "extra.txt": lines, "old.txt": "goes\n"})
    repo = new_repo(TEMPLATE, {"name": "svc"}, tmp_path).path
    monkeypatch.setenv("CRM_WHEELS", str(wheel(site, tmp_path / "wheels", "1.0").parent))
    (repo / "extra.txt").write_text("edited\n" + lines)
    commit(repo)
    monkeypatch.chdir(repo)
    assert crm("upgrade") == 0 and f"already on {__version__}" in capsys.readouterr().out
    folder = team_package(site, "1.1", {"README.md": README + "More.\n", "extra.txt": lines + "last\n"})
    (folder / REPO_FOLDER / "old.txt").unlink()
    assert crm("upgrade", "--no-check", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["unmerged"] == [] and f"{PACKAGE} 1.0 to 1.1 …" in said.err
    assert (repo / "extra.txt").read_text() == "edited\n" + lines + "last\n"
    assert (repo / "README.md").read_text().endswith("\nOurs.\nMore.\n") and not (repo / "old.txt").exists()
    assert read_record(repo).package == TemplatePackage(PACKAGE, "1.1")
    assert crm("upgrade") == 0
    assert crm("check", "--only", "CRM2") == 0


def test_an_upgrade_without_the_package_or_its_old_version_says_what_is_missing(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    team_package(site)
    repo = new_repo(TEMPLATE, {"name": "svc"}, tmp_path).path
    monkeypatch.chdir(repo)
    (site / "Risk_Templates-1.0.dist-info" / "entry_points.txt").write_text("")
    assert crm("upgrade") == 1 and f"of {PACKAGE}, which is not installed" in capsys.readouterr().err
    team_package(site, "1.1")
    monkeypatch.setenv("CRM_TEMPLATE_PACKAGES", "")
    assert crm("upgrade") == 1 and "CRM_TEMPLATE_PACKAGES does not name" in capsys.readouterr().err
    told = json.loads((repo / ".crm.json").read_text())
    (repo / ".crm.json").write_text(json.dumps({**told, "package": {"name": PACKAGE, "version": "--index-url=x"}}))
    commit(repo)
    assert crm("upgrade", "--trust") == 1 and "which is no package" in capsys.readouterr().err


def test_crm_templates_new_makes_a_package_whose_template_works_uninstalled_of_our_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert crm("templates", "new", "churn-batch", "--dry-run") == 0 and not (tmp_path / "churn-batch").exists()
    assert crm("templates", "new", "churn-batch", "--from", "fraud-realtime", "--json") == 0
    files = {p.relative_to(tmp_path / "churn-batch").as_posix(): p for p in (tmp_path / "churn-batch").rglob("*.*")}
    assert "src/churn_batch_template/cookiecutter.json" in files
    assert sum(p.stat().st_size for p in files.values() if p.is_file()) < 4000
    for place in ("churn-batch", "fraud-realtime", "Churn"):
        assert crm("templates", "new", place) == 1
    assert crm("templates", "new", "other", "--from", "frod") == 1
    for lint in (("check",), ("format", "--check")):
        done = subprocess.run([sys.executable, "-m", "ruff", *lint, "churn-batch"], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


def _folder(tmp_path: Path) -> Path:
    made = tmp_path / "theirs"
    made.mkdir()
    return made


def test_listing_imports_nothing_of_the_package(site: Path) -> None:
    team_package(site)
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", CRM, "templates", "list"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Of the risk team." in done.stdout
