"""Who overrides a hook that will go is told its end, where the class is made."""

from __future__ import annotations

import warnings

import pytest

from carrental_mlops.core import Guarded, deprecated, hook
from carrental_mlops.core.deprecated import notice, removed_hook, renamed_hook


class Base(Guarded):
    @hook(since="0.1", returns="anything")
    def weights(self, *, rows: object) -> object:
        return rows

    @hook(since="0.1", returns="anything")
    def kept(self, *, rows: object) -> object:
        return rows


def test_an_override_of_a_renamed_hook_is_warned_with_the_version_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecated, "CHANGES", (renamed_hook("Base.weights", "kept", since="0.2", removed_in="0.4"),))
    with pytest.warns(FutureWarning, match=r"`Mine.weights`: hook `Base.weights` is removed in 0.4: rename") as told:

        class Mine(Base):
            def weights(self, *, rows: object) -> object:
                return rows

    assert told[0].filename == __file__


def test_other_hooks_and_classes_that_inherit_the_override_are_not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    change = removed_hook("Base.weights", since="0.2", removed_in="0.4", advice="set `weights:`")
    monkeypatch.setattr(deprecated, "CHANGES", (change,))
    with pytest.warns(FutureWarning, match="set `weights:`"):

        class Mine(Base):
            def weights(self, *, rows: object) -> object:
                return rows

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Heir(Mine):
            pass

        class Other(Base):
            def kept(self, *, rows: object) -> object:
                return rows


def test_this_version_declares_no_end_twice() -> None:
    ends = [change.of for change in deprecated.CHANGES if change.removed_in]
    assert len(set(ends)) == len(ends)
    assert notice("TrainStep", "estimator") is None
