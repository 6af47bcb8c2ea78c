"""Hooks that are no plain methods, or change the step from within: each is refused with file, line and mend."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from guard_attacked import Attacks, FitConfig, FitStep, assert_refused_there

attack = Attacks()


@attack
def decorator_that_replaces_a_hook() -> object:
    def replaced(cls: Any) -> Any:
        cls.fit = lambda self, *, rows: 2.0
        return cls

    @replaced
    class Team(FitStep): ...

    return Team


@attack
def hook_as_singledispatchmethod() -> object:
    return type("Team", (FitStep,), {"fit": functools.singledispatchmethod(lambda self, *, rows: 1.0)})


@attack
def hook_under_a_cache() -> object:
    return type("Team", (FitStep,), {"fit": functools.lru_cache(lambda self, *, rows: 1.0)})


@attack
def hook_that_says_it_returns_none() -> object:
    class Team(FitStep):
        def fit(self, *, rows: int) -> None: ...  # type: ignore[override]

    return Team


@attack
def hook_that_exchanges_the_config() -> object:
    class Team(FitStep):
        def fit(self, *, rows: int) -> float:
            self.config = FitConfig(depth=9)
            return 1.0

    return Team().run(rows=1)


@attack
def hook_that_hides_a_private_name_on_the_instance() -> object:
    class Team(FitStep):
        def fit(self, *, rows: int) -> float:
            vars(self)["_scale"] = lambda x: -1.0
            return 1.0

    return Team().run(rows=1)


@pytest.mark.parametrize("name", attack)
def test_a_way_around_a_hooks_contract_is_refused(name: str) -> None:
    assert_refused_there(attack[name])
