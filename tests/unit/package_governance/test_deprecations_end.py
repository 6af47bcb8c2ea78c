"""What this very package announces: every end is after its announcement, and none has passed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_packages import package

from carrental_mlops import __version__
from carrental_mlops.core.deprecated import CHANGES, removed_hook, renamed_hook
from carrental_mlops.core.hook import hooks_of
from carrental_mlops.fleet.package.package_hooks import hook_changes, overdue, package_hooks
from carrental_mlops.scaffold.versions import material


def test_no_end_that_this_version_announces_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = package_hooks(material())
    assert overdue(CHANGES, __version__, known) == []
    assert "TrainStep.sample_weight" in known


def test_the_hooks_read_from_sources_are_those_of_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from carrental_mlops.data.features import FeatureSet
    from carrental_mlops.serving.service import ModelService
    from carrental_mlops.steps import GateStep, TrainStep

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    known = set(package_hooks(material()))
    for cls in (TrainStep, GateStep, FeatureSet, ModelService):
        assert {f"{spec.owner}.{name}" for name, spec in hooks_of(cls).items()} <= known


def test_a_hook_past_its_end_and_an_end_before_its_announcement_are_told(tmp_path: Path) -> None:
    known = package_hooks(package(tmp_path, "0.4.0"))
    ends = renamed_hook("TrainStep.sample_weight", "weights", since="0.2", removed_in="0.4")
    assert overdue((ends,), "0.3.9", known) == []
    assert overdue((ends,), "0.4.0rc1", known) == []
    assert "was to be gone in 0.4, and 0.4.0 has it" in overdue((ends,), "0.4.0", known)[0]
    at_once = removed_hook("TrainStep.sample_weight", since="0.4", advice="Weigh the rows.")
    assert "was to be gone in 0.4" in overdue((at_once,), "0.4.0", known)[0]
    backwards = removed_hook("TrainStep.other", since="0.5", removed_in="0.5", advice="None.")
    assert overdue((backwards,), "0.4.0", known) == ["`TrainStep.other` is removed in 0.5, and 0.5 announces it"]


def test_a_rename_is_one_change_and_not_a_loss_and_a_gain(tmp_path: Path) -> None:
    from small_packages import HOOK

    declared = 'renamed_hook("TrainStep.sample_weight", "weights", since="0.2")'
    new = package(tmp_path / "new", "0.2.0", hook=HOOK.replace("sample_weight", "weights"), declares=declared)
    (change,) = hook_changes(package(tmp_path / "old", "0.1.0"), new)
    assert (change.hook, change.what, change.new) == ("TrainStep.sample_weight", "renamed", "TrainStep.weights")
