"""Who overrides a hook that will go is told its end, where the class is made."""

from __future__ import annotations

import warnings

import pytest

from carrental_mlops.core import Guarded, call, deprecated, hook
from carrental_mlops.core.deprecated import notice, removed_hook, renamed_hook
from carrental_mlops.errors import ContractError


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


class Renamed(Guarded):
    """A renamed hook, written as docs/how-to/maintain.md says."""

    @hook(since="0.1", returns="an int", check=lambda told, given: None if told < 100 else "too great")
    def weights(self, *, rows: int) -> int:
        return rows

    @hook(since="0.2", returns="an int")
    def sample_weight(self, *, rows: int) -> int:
        return call(self.weights, rows=rows)


def test_an_override_of_either_name_answers_until_the_old_one_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    change = renamed_hook("Renamed.weights", "sample_weight", since="0.2", removed_in="0.4")
    monkeypatch.setattr(deprecated, "CHANGES", (change,))
    with pytest.warns(FutureWarning, match="rename your method to `sample_weight`"):

        class Old(Renamed):
            def weights(self, *, rows: int) -> int:
                return super().weights(rows=rows) * 10

    class New(Renamed):
        def sample_weight(self, *, rows: int) -> int:
            return super().sample_weight(rows=rows) + 1

    assert [call(cls().sample_weight, rows=2) for cls in (Renamed, Old, New)] == [2, 20, 3]
    with pytest.raises(ContractError, match=r"`Old.weights` .* too great"):
        call(Old().sample_weight, rows=10)


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
