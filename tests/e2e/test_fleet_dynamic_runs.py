"""A campaign whose repos really run under a newer version: the result in the text, its time, no token of the host."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import template_versions
from hooked_repo import hooked_repo
from package_versions import SOURCE, edited
from template_versions import MANAGED, commit, git

from carrental_mlops.fleet.campaign import Campaign, Settings
from carrental_mlops.fleet.campaign_state import CampaignState
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.inventory import read_fleet
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.versions import Material

pytestmark = pytest.mark.e2e
STEPS = """
    from carrental_mlops.steps import TrainStep


    class Mine(TrainStep):
        def sample_weight(self, *, rows):
            return rows["amount_eur"].to_numpy() * {factor}
    """
NO_TOKEN = 'import os\n\n\ndef test_no_token():\n    assert "GITLAB_TOKEN" not in os.environ\n'


def _version(folder: Path, name: str, text: str) -> Material:
    shutil.copytree(SOURCE, folder / name / "carrental_mlops", ignore=shutil.ignore_patterns("__pycache__", "_assets"))
    made = template_versions.version(folder, name, {"Makefile": text})
    edited(made, "__init__.py", ('__version__ = "0.1.0"', f'__version__ = "{name}"'))
    (made.package / "_assets").mkdir(exist_ok=True)
    (made.package / "_assets" / "CHANGELOG.md").write_text("")
    return made


def _repo(folder: Path, old: Material, name: str, factor: str | None) -> None:
    root = template_versions.repo_of(old, folder / name, answers={"name": name})
    package = name.replace("-", "_")
    if factor:
        made = hooked_repo(folder.parent / f"{name}-parts", package, STEPS.replace("{factor}", factor), train="Mine")
        shutil.copytree(made, root, dirs_exist_ok=True)
    (root / "tests").mkdir(exist_ok=True)
    (root / "tests" / "test_own.py").write_text(NO_TOKEN)
    commit(root)


def test_a_campaign_runs_so_many_repos_and_says_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_TOKEN", "of-the-host")
    old = _version(tmp_path / "versions", "0.1.0", MANAGED)
    new = _version(tmp_path / "versions", "0.2.0", f"{MANAGED}newer\n")
    edited(new, "steps/train.py", ("and weights.sum() > 0", "and weights.sum() > 0 and (weights <= 1).all()"))
    for name, factor in (("a-holds", "0 + 0.5"), ("b-plain", None), ("c-breaks", "2"), ("d-late", "0 + 0.5")):
        _repo(tmp_path / "repos", old, name, factor)
    versions = Versions({"0.1.0": old, "0.2.0": new}.__getitem__)
    settings = Settings(jobs=1, waves=("100%",), stop_above=1.0, dynamic=2)
    fleet = read_fleet(str(tmp_path / "repos"))
    state = CampaignState(tmp_path / "state" / "upgrade.jsonl", "0.2.0")
    entries = {e.repo: e for e in Campaign(fleet, new, Clones(tmp_path / "c"), settings, versions).run(state).entries}
    assert {name: e.verdict for name, e in entries.items()} == {
        "a-holds": "clean", "b-plain": "clean", "c-breaks": "breaks", "d-late": "breaks",
    }  # fmt: skip
    assert [name for name, e in entries.items() if e.ran_s] == ["a-holds", "c-breaks"]
    held = (tmp_path / "state" / "upgrade" / "a-holds.md").read_text()
    assert "### Run under 0.2.0" in held and "tests: 1 held, 0 failed" in held
    broken = (tmp_path / "state" / "upgrade" / "c-breaks.md").read_text()
    assert "returned weights that are negative, missing, infinite or all zero" in broken
    late = (tmp_path / "state" / "upgrade" / "d-late.md").read_text()
    assert "Contract changed, not proven" in late and "The repo was not run under the newer version." in late
    assert git(tmp_path / "repos" / "a-holds", "status", "--porcelain") == ""
