from __future__ import annotations

import json
from pathlib import Path

import pytest

OVERRIDES = """

from carrental_mlops.core import Pipeline, step
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.serving import ModelService
from carrental_mlops.steps import TrainStep


class Weights:
    def sample_weight(self, *, rows):
        return None


class Own(Weights, TrainStep):
    pass


class Mine(FeatureSet):
    def compute(self, *, columns):
        return {}


class Answers(ModelService):
    feature_set = Mine

    def decide(self, *, scores, columns):
        return super().decide(scores=scores, columns=columns)
"""


def _overriding(root: Path) -> Path:
    """The repo's steps.py, with an override of a step, of the feature set and of the service in it."""
    steps = next((root / "src").iterdir()) / "steps.py"
    steps.write_text(steps.read_text() + OVERRIDES)
    return steps


def test_hooks_of_feature_set_and_service_are_listed(crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads(crm("hooks", "--json").out)
    assert {f"{h['class']}.{h['name']}" for h in found} >= {
        "TrainStep.sample_weight",
        "FeatureSet.compute",
        "ModelService.decide",
        "ModelService.reasons",
    }
    assert {h["overrides"] for h in found} == {None}
    assert "ModelService.reasons" in crm("hooks", "service").out
    typo = crm("hooks", "servise")
    assert typo.code == 1 and "rename it to `service`" in typo.err


def test_hooks_say_what_the_repo_overrides_and_where(crm, tiny_repo: Path) -> None:
    steps = _overriding(tiny_repo)
    lines = steps.read_text().splitlines()
    found = {f"{h['class']}.{h['name']}": h["overrides"] for h in json.loads(crm("hooks", "--json").out)}
    for hook, cls, text in (
        ("TrainStep.sample_weight", "Own", "    def sample_weight(self, *, rows):"),
        ("FeatureSet.compute", "Mine", "    def compute(self, *, columns):"),
        ("ModelService.decide", "Answers", "    def decide(self, *, scores, columns):"),
    ):
        place = f"{steps.relative_to(tiny_repo)}:{lines.index(text) + 1}"
        assert found[hook] == [{"class": cls, "place": place, "slots": []}]
    assert found["ModelService.reasons"] == [] and found["TrainStep.estimator"] == []
    assert f"overridden by Mine ({steps.relative_to(tiny_repo)}:" in crm("hooks", "feature_set").out


def test_an_override_names_the_slots_that_run_it(crm, tiny_repo: Path) -> None:
    steps = _overriding(tiny_repo)
    pipelines = steps.with_name("pipelines.py")
    package = steps.parent.name
    pipelines.write_text(
        f"from carrental_mlops.pipelines import TrainingPipeline\nfrom {package}.steps import Own\n"
        "from carrental_mlops.core import step\n\n\nclass Mine(TrainingPipeline):\n    train = step(Own)\n"
    )
    assert "overridden by Own" in crm("hooks", "train").out
    found = json.loads(crm("hooks", "train", "--json").out)
    assert [h["overrides"][0]["slots"] for h in found if h["overrides"]] == [["training.train"]]


def test_hooks_of_a_broken_repo_are_listed_with_a_word_on_what_is_broken(crm, tiny_repo: Path) -> None:
    steps = next((tiny_repo / "src").iterdir()) / "steps.py"
    steps.write_text("def broken(:\n")
    told = crm("hooks", "train")
    assert told.code == 0 and "TrainStep.sample_weight" in told.out
    assert "what this repo overrides is not shown" in told.err and "steps.py:1" in told.err
    assert crm("hooks", "--repo", str(tiny_repo)).code == 1
