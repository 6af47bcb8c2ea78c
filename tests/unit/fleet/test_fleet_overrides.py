"""A campaign over repos that override a hook: the codemod in the same commit, or a draft that says what breaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import template_versions
from package_versions import declare, edited, version
from template_versions import MANAGED, commit, repo_of

from carrental_mlops.fleet.branch import Upgrade, prepare
from carrental_mlops.fleet.campaign_text import merge_request
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.versions import Material

STEPS = """from carrental_mlops.steps import TrainStep


class Mine(TrainStep):
    def sample_weight(self, *, rows):  # ours
        return None
"""
ADDED = 'added_argument("TrainStep.sample_weight", "seed", annotation="int", since="0.2.0")'


def _two(folder: Path) -> tuple[Material, Material]:
    made = []
    for number, text in (("0.1.0", MANAGED), ("0.2.0", MANAGED + "newer\n")):
        version(folder, number)
        made.append(template_versions.version(folder, number, {"Makefile": text}))
    return made[0], made[1]


def _upgraded(tmp_path: Path, *entries: str) -> tuple[Path, Upgrade]:
    old, new = _two(tmp_path)
    edited(new, "steps/train.py", ("def sample_weight(self, *, rows:", "def sample_weight(self, *, seed: int, rows:"))
    if entries:
        declare(new, *entries)
    root = repo_of(old, tmp_path / "pay")
    (root / "src" / "pay").mkdir(parents=True)
    (root / "src" / "pay" / "__init__.py").write_text("")
    (root / "src" / "pay" / "steps.py").write_text(STEPS)
    commit(root)
    versions = Versions({"0.1.0": old, "0.2.0": new}.__getitem__)
    made = prepare(root, new, versions, "t <t@example.com>")
    assert made is not None
    return root, made


@pytest.mark.skipif(importlib.util.find_spec("libcst") is None, reason="the codemod wants libcst")
def test_what_the_codemod_mends_is_in_the_commit_and_breaks_nothing(tmp_path: Path) -> None:
    root, made = _upgraded(tmp_path, ADDED)
    assert made.rewritten == ("src/pay/steps.py",) and made.broken == () and made.overrides.blocking
    text = template_versions.git(root, "show", f"{made.commit}:src/pay/steps.py")
    assert "def sample_weight(self, *, rows, seed: int):  # ours" in text
    assert (root / "src" / "pay" / "steps.py").read_text() == STEPS
    assert "Rewritten for 0.2.0: src/pay/steps.py" in template_versions.git(
        root, "log", "-1", "--format=%B", made.commit
    )
    assert "Rewritten by the codemod" in merge_request(made, "crm-upgrade/0.2.0")


def test_what_no_codemod_mends_is_said_with_its_place(tmp_path: Path) -> None:
    root, made = _upgraded(tmp_path)
    assert made.rewritten == () and [one.place for one in made.broken] == ["src/pay/steps.py:5"]
    assert template_versions.git(root, "show", f"{made.commit}:src/pay/steps.py") == STEPS
    text = merge_request(made, "crm-upgrade/0.2.0")
    assert "1 of your overrides do not fit 0.2.0" in text and "src/pay/steps.py:5 `TrainStep.sample_weight`" in text
