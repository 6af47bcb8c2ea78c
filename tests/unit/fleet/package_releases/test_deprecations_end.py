"""What this very package announces: every end is after its announcement, and none has passed."""

from __future__ import annotations

from pathlib import Path

from small_packages import package

import carrental_mlops
from carrental_mlops import __version__
from carrental_mlops.core.deprecated import CHANGES, Change, moved_import, removed_hook, renamed_hook
from carrental_mlops.core.hook import hooks_of
from carrental_mlops.fleet.package_releases.hook_changes import hook_changes, overdue, package_hooks
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.deprecations import declared

NOW = Material(__version__, Path(carrental_mlops.__file__).parents[1])


def test_no_end_that_this_version_announces_has_passed() -> None:
    assert overdue(NOW) == []
    assert declared(NOW) == CHANGES


def test_the_hooks_read_from_sources_are_those_of_the_classes() -> None:
    from carrental_mlops.data.features import FeatureSet
    from carrental_mlops.serving.service import ModelService
    from carrental_mlops.steps import GateStep, TrainStep

    known = set(package_hooks(NOW))
    for cls in (TrainStep, GateStep, FeatureSet, ModelService):
        assert {f"{spec.owner}.{name}" for name, spec in hooks_of(cls).items()} <= known


def test_a_name_past_its_end_and_an_end_before_its_announcement_are_told(tmp_path: Path) -> None:
    def at(number: str, *changes: Change) -> list[str]:
        return overdue(package(tmp_path / number, number), changes)

    ends = renamed_hook("TrainStep.sample_weight", "weights", since="0.2", removed_in="0.4")
    assert at("0.3.9", ends) == [] and at("0.4.0rc1", ends) == []
    assert "steps/train.py:9: `TrainStep.sample_weight` was to be gone in 0.4, and 0.4.0 has it" in at("0.4.0", ends)[0]
    at_once = removed_hook("TrainStep.sample_weight", since="0.4", advice="Weigh the rows.")
    assert "was to be gone in 0.4" in at("0.4.0", at_once)[0] and at("0.3.9", at_once) == []
    backwards = removed_hook("TrainStep.other", since="0.5", removed_in="0.5", advice="None.")
    assert at("0.4.0", backwards) == ["`TrainStep.other` is removed in 0.5, and 0.5 announces it"]
    moved = moved_import(
        "carrental_mlops.steps.train:TrainStep", "carrental_mlops.steps:T", since="0.2", removed_in="0.4"
    )
    assert (
        "steps/train.py: `carrental_mlops.steps.train:TrainStep`" in at("0.4.0", moved)[0] and at("0.3.9", moved) == []
    )
    assert at("0.4.0", moved_import("carrental_mlops.old", "carrental_mlops.new", since="0.2")) == []


def test_a_rename_is_one_change_and_not_a_loss_and_a_gain(tmp_path: Path) -> None:
    from small_packages import HOOK

    declared = 'renamed_hook("TrainStep.sample_weight", "weights", since="0.2")'
    new = package(tmp_path / "new", "0.2.0", hook=HOOK.replace("sample_weight", "weights"), declares=declared)
    (change,) = hook_changes(package(tmp_path / "old", "0.1.0"), new)
    assert (change.hook, change.what, change.new) == ("TrainStep.sample_weight", "renamed", "TrainStep.weights")
