"""Ways to take over a step's class, its closed names or its config: each is refused with file, line and mend."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, final

import pytest
from guard_attacked import Attacks, FitConfig, FitStep, assert_refused_there

from carrental_mlops.core import Step, StepConfig, step
from carrental_mlops.errors import CrmError

attack = Attacks()


class ShallowConfig(StepConfig):
    other: int = 1


class LooseConfig(FitConfig):
    model_config = {"extra": "allow", "frozen": False}


@attack
def metaclass_that_checks_nothing() -> object:
    class Meta(type(FitStep)):  # type: ignore[misc]
        def __init__(cls, *args: Any) -> None: ...

    return Meta("Team", (FitStep,), {"run": lambda self, *, rows: -1.0})


@attack
def run_set_past_the_metaclass() -> object:
    class Team(FitStep): ...

    type.__setattr__(Team, "run", lambda self, *, rows: -1.0)
    return Team().run(rows=1)


@attack
def private_name_of_the_base_set_past_the_metaclass() -> object:
    class Base(FitStep):
        def fit(self, *, rows: int) -> float:
            return 1.0

    class Team(Base): ...

    type.__setattr__(Base, "fit", lambda self, *, rows: "x")
    return Team().run(rows=1)


@attack
def code_of_a_method_exchanged() -> object:
    class Base(FitStep):
        def fit(self, *, rows: int) -> float:
            return 1.0

    Base.fit.__code__ = (lambda self, *, rows: 2.0).__code__
    return Base().run(rows=1)


@attack
def run_put_into_a_mixin_later() -> object:
    class Mixin: ...

    class Team(Mixin, FitStep): ...

    Mixin.run = lambda self, *, rows: -1.0  # type: ignore[attr-defined]
    return Team().run(rows=1)


@attack
def closed_name_declared_open_by_a_mixin() -> object:
    class Mixin:
        inputs: ClassVar[Any]

    class Team(Mixin, FitStep):
        inputs = {}

    return Team


@attack
def closed_name_declared_open_by_a_class_between() -> object:
    class Between(FitStep):
        inputs: ClassVar[Any]

    class Team(Between):
        inputs = {}

    return Team


@attack
def class_that_is_only_registered() -> object:
    class Fake:
        def run(self, *, rows: int) -> float:
            return 1.0

    FitStep.register(Fake)
    return step(Fake)  # type: ignore[type-var]


@attack
def mixin_that_assigns_in_init_subclass() -> object:
    class Mixin:
        def __init_subclass__(cls) -> None:
            cls.run = 1  # type: ignore[attr-defined]

    return type("Team", (Mixin, FitStep), {})


@attack
def descriptor_that_sets_run_in_set_name() -> object:
    class Sets:
        def __set_name__(self, owner: type, name: str) -> None:
            type.__setattr__(owner, "run", lambda self, *, rows: -1.0)

    return type("Team", (FitStep,), {"_sets": Sets()})


@attack
def step_as_a_dataclass() -> object:
    @dataclasses.dataclass
    class Team(FitStep):
        depth: int = 3

    return Team


@attack
def slots() -> object:
    return type("Team", (FitStep,), {"__slots__": ("x",)})


@attack
def keyword_in_the_class_line() -> object:
    class Team(FitStep, depth=3): ...  # type: ignore[call-arg]

    return Team


@attack
def config_that_lacks_what_the_base_reads() -> object:
    return type("Team", (FitStep,), {"__annotations__": {"config": ShallowConfig}})


@attack
def config_that_takes_unknown_keys() -> object:
    return type("Team", (FitStep,), {"__annotations__": {"config": LooseConfig}})


@attack
def run_without_self() -> object:
    class Team(Step):
        @final
        def run(*, rows: int) -> int:  # type: ignore[misc]
            return 1

    return Team


@pytest.mark.parametrize("name", attack)
def test_a_way_around_a_steps_guard_is_refused(name: str) -> None:
    assert_refused_there(attack[name])


def test_a_mixin_may_keep_state_of_its_own() -> None:
    class Counts:
        calls = 0

        def fit(self, *, rows: int) -> float:
            Counts.calls += 1
            return float(Counts.calls)

    class Team(Counts, FitStep): ...

    assert [Team().run(rows=1), Team().run(rows=1)] == [1.0, 2.0]


def test_a_config_that_the_module_defines_further_below_is_judged_when_it_is_bound() -> None:
    class Later(FitStep):
        config: NotYet  # type: ignore[name-defined]  # noqa: F821 - that is the case

    with pytest.raises(CrmError, match="import that name outside"):
        Later()


def test_a_look_at_the_class_costs_an_instance_little() -> None:
    import timeit

    class Team(FitStep): ...

    assert min(timeit.repeat(Team, number=100, repeat=5)) / 100 < 0.001
