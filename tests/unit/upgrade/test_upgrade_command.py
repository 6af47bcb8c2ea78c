"""`crm upgrade` from an older wheel of this very package to the installed version."""

from __future__ import annotations

import datetime
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from template_versions import commit, git, repo_of, snapshot

from carrental_mlops import __version__
from carrental_mlops.cli.main import main
from carrental_mlops.governance.ledger import read_ledger
from carrental_mlops.scaffold.compose import files_of
from carrental_mlops.scaffold.ownership import read_record
from carrental_mlops.scaffold.versions import Material, material

OLD = "0.0.9"
ANSWERS = {"name": "fraud-payments", "package": "fraud_payments", "owner": "a@example.com", "tier": "3", "ci": "gitlab"}


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """This checkout as 0.0.9, whose Makefile lacks a line and whose template asks for no tier."""
    root = tmp_path_factory.mktemp("older")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        now = material()
    for path in files_of(now.package):
        (root / "carrental_mlops" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(now.package / path, root / "carrental_mlops" / path)
    template = root / "carrental_mlops" / "_assets" / "templates" / "fraud-realtime"
    makefile = template / "{{cookiecutter.name}}" / "Makefile"
    makefile.write_text(makefile.read_text().replace("--cov", "").partition("\n\n")[0] + "\n")
    told = json.loads((template / "cookiecutter.json").read_text())
    (template / "cookiecutter.json").write_text(json.dumps({**told, "_crm_version": OLD}))
    train = root / "carrental_mlops" / "steps" / "train.py"
    train.write_text(train.read_text().replace("sample_weight", "weight_of_rows"))
    return Material(OLD, root)


@pytest.fixture
def repo(older: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / f"carrental_mlops-{OLD}-py3-none-any.whl", "w") as archive:
        for path in files_of(older.root):
            archive.write(older.root / path, path.as_posix())
    monkeypatch.setenv("CRM_WHEELS", str(wheels))
    made = repo_of(older, tmp_path / "repo", "fraud-realtime", ANSWERS)
    monkeypatch.chdir(made)
    return made


def crm(*arguments: str) -> int:
    try:
        return main(["upgrade", *arguments, *([] if "waive" in arguments else ["--no-check"])])
    except SystemExit as left:
        return int(left.code or 0)


def test_check_and_dry_run_write_nothing_and_the_upgrade_bumps_the_pin(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "README.md").write_text("ours\n")
    commit(repo)
    before = snapshot(repo)
    assert crm("--check") == 0
    assert f"{OLD} to {__version__}: 0 of" in capsys.readouterr().out
    assert crm("--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "Makefile" in told["changed"] and told["unmerged"] == []
    assert snapshot(repo) == before
    assert crm("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["commit"] == git(repo, "rev-parse", "HEAD").strip()
    assert told["markdown"].startswith(f"# Upgrade carrental-mlops {OLD} to {__version__}\n")
    assert f"~={__version__}" in (repo / "pyproject.toml").read_text()
    assert (repo / "README.md").read_text() == "ours\n"
    assert read_record(repo).version == __version__
    assert git(repo, "status", "--porcelain") == ""
    assert (repo / ".crm" / "reports" / f"upgrade-{OLD}-{__version__}.md").read_text() == told["markdown"]
    assert crm() == 0
    assert capsys.readouterr().out == f"already on {__version__}\n"


def test_a_conflict_exits_1_and_goes_on_to_a_ledger_that_can_be_waived(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (repo / "pyproject.toml").read_text().replace(f"~={OLD}", "==0.0.8")
    (repo / "pyproject.toml").write_text(text)
    commit(repo)
    assert crm() == 1
    assert "pyproject.toml" in capsys.readouterr().out
    assert crm() == 1
    assert "in progress here\nFix: crm upgrade --continue" in capsys.readouterr().err
    (repo / "pyproject.toml").write_text(text)
    git(repo, "add", "pyproject.toml")
    assert crm("--continue") == 0
    assert "1 resolved by hand" in capsys.readouterr().out
    (entry,) = read_ledger(repo)
    assert entry.path == "pyproject.toml" and entry.base == OLD
    until = str(datetime.date.today() + datetime.timedelta(days=180))
    assert crm("waive", "pyproject.toml", "--reason", "pinned by audit", "--until", until) == 0
    (entry,) = read_ledger(repo)
    assert (entry.reason, entry.by, entry.until) == ("pinned by audit", "test@example.com", until)
    capsys.readouterr()
    assert crm("waive", "Makefil", "--reason", "x", "--until", "2999-01-01") == 1
    assert "the ledger has no entry `Makefil`" in capsys.readouterr().err


def test_uncommitted_work_a_lost_version_and_no_repo_are_refused_with_a_mend(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "Makefile").write_text("mine\n")
    assert crm() == 1
    assert "Fix: commit it, or crm upgrade --stash" in capsys.readouterr().err
    assert crm("--abort") == 1
    assert "no upgrade is in progress here" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert crm() == 1
    assert "is not inside a repo that crm new made" in capsys.readouterr().err
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert crm("--repo", str(repo), "--to", "0.0.1") in (1, 3)
    assert "0.0.1" in capsys.readouterr().err


def test_an_override_that_would_break_fails_the_check_and_stops_the_upgrade(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = repo / "src" / "fraud_payments" / "steps.py"
    steps.write_text(
        "from carrental_mlops.steps import TrainStep\n\n\nclass Train(TrainStep):\n"
        "    def weight_of_rows(self, *, rows):\n        return None\n"
    )
    commit(repo)
    before = snapshot(repo)
    assert crm("--check") == 1
    told = capsys.readouterr().out
    assert "src/fraud_payments/steps.py:5: break: TrainStep.weight_of_rows" in told
    assert "  was weight_of_rows(self, *, rows" in told and "  is  gone" in told and "  Fix: " in told
    assert crm() == 1
    said = capsys.readouterr().err
    assert "steps.py:5: `TrainStep.weight_of_rows` does not fit" in said and "--check" in said
    assert snapshot(repo) == before
    assert crm("--fix", "--dry-run") == 0
    assert crm("--anyway") == 0
    assert read_record(repo).version == __version__


def test_a_repo_of_a_newer_version_is_not_taken_back_by_accident(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = (repo / ".crm.json").read_text().replace(f'"version": "{OLD}"', '"version": "99.0.0"')
    (repo / ".crm.json").write_text(told)
    assert crm() == 1
    assert f"this repo stands on 99.0.0, and {__version__} is installed" in capsys.readouterr().err
