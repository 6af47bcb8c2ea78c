"""Ways around the guard that an earlier one let through: each is refused with the team's file, line and the mend."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, final

import pytest

from carrental_mlops.core import Pipeline, Step, StepConfig, drop, hook, run_in_process, step
from carrental_mlops.core.hook import call
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import CrmError


class FitConfig(StepConfig):
    depth: int = 3


class ShallowConfig(StepConfig):
    other: int = 1


class LooseConfig(FitConfig):
    model_config = {"extra": "allow", "frozen": False}


class One(Step):
    @final
    def run(self) -> int:
        return 1


class FitStep(Step):
    config: FitConfig

    @final
    def run(self, *, rows: int) -> float:
        return self._scale(call(self.fit, rows=rows))

    @hook(since="0.1", returns="a float")
    def fit(self, *, rows: int) -> float:
        return float(rows)

    def _scale(self, x: float) -> float:
        return x


class Single(NamedTuple):
    output: int


class Counted(NamedTuple):
    count: int  # type: ignore[assignment]  # mypy: a tuple has it as a method; it works all the same
    index: int  # type: ignore[assignment]


class Inner(Pipeline):
    one = step(One)

    def build(self) -> None:
        self.one.run()


ATTACKS: dict[str, Callable[[], object]] = {}


def attack(make: Callable[[], object]) -> Callable[[], object]:
    ATTACKS[make.__name__.strip("_").replace("_", " ")] = make
    return make


def built(build: Any, **slots: Any) -> type[Pipeline]:
    return type("Team", (Pipeline,), {"one": step(One), "fit": step(FitStep), **slots, "build": build})  # type: ignore[return-value]


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
def decorator_that_replaces_a_hook() -> object:
    def replaced(cls: Any) -> Any:
        cls.fit = lambda self, *, rows: 2.0
        return cls

    @replaced
    class Team(FitStep): ...

    return Team


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


@attack
def slot_with_a_name_of_pipeline() -> object:
    return built(lambda self: self.slots.run(rows=1), slots=step(FitStep))


@attack
def slot_called_bound() -> object:
    return built(lambda self: self.bound.run(), bound=step(One))


@attack
def class_in_place_of_a_slot() -> object:
    return built(lambda self: self.fit.run(rows=self.one.run()), fit=FitStep)


@attack
def instance_in_place_of_a_slot() -> object:
    return built(lambda self: self.fit.run(rows=self.one.run()), fit=FitStep())


@attack
def slot_refilled_with_an_instance() -> object:
    return type("Team", (Inner,), {"one": One()})


@attack
def pipeline_in_a_pipeline() -> object:
    return built(lambda self: self.fit.run(rows=self.inner.build()), inner=Inner)


@attack
def pipeline_in_a_slot() -> object:
    return built(lambda self: None, inner=step(Inner))  # type: ignore[type-var]


@attack
def build_with_an_argument() -> object:
    return built(lambda self, rows: self.fit.run(rows=rows))


@attack
def build_as_a_staticmethod() -> object:
    return built(staticmethod(lambda: None))


@attack
def build_as_a_classmethod() -> object:
    return built(classmethod(lambda cls: None))


@attack
def branching_on_none() -> object:
    def build(self: Any) -> None:
        made = self.one.run()
        self.fit.run(rows=made if made is not None else self.one.run())

    return built(build)


@attack
def branching_on_a_type() -> object:
    return built(lambda self: isinstance(self.one.run(), float) and self.fit.run(rows=1))


@attack
def order_as_airflow_writes_it() -> object:
    return built(lambda self: self.one.run() >> self.fit.run(rows=self.one.run()))


@attack
def refusal_that_build_swallows() -> object:
    def build(self: Any) -> None:
        made = self.one.run()
        try:
            if made:
                self.fit.run(rows=made)
        except Exception:
            self.fit.run(rows=made)

    return built(build)


@attack
def plain_mistake_in_build() -> object:
    return built(lambda self: self.fit.run(rows=self.one.run()) and [][3])


@attack
def one_output_in_a_namedtuple() -> object:
    class Team(Step):
        @final
        def run(self) -> Single:
            return Single(1)

    return built(lambda self: self.fit.run(rows=self.team.run().output), team=step(Team))


@attack
def drop_without_a_reason() -> object:
    return drop(" ")


@pytest.mark.parametrize("name", ATTACKS)
def test_a_way_around_the_guard_is_refused_with_file_line_and_mend(name: str) -> None:
    with pytest.raises(CrmError) as refused:
        ATTACKS[name]()
    assert re.search(r"test_guard_attacks\.py:\d+\)", refused.value.what), refused.value.what
    assert refused.value.fix


def test_outputs_called_as_a_tuples_methods_are_wired_by_name() -> None:
    class Count(Step):
        @final
        def run(self) -> Counted:
            return Counted(4, 5)

    def build(self: Any) -> None:
        parts = self.counted.run()
        self.fit.run(rows=parts.count)
        self.again.run(rows=parts.index)

    made = type(
        "Team", (Pipeline,), {"counted": step(Count), "fit": step(FitStep), "again": step(FitStep), "build": build}
    )
    assert [str(ref["rows"]) for ref in list(trace(made).calls.values())[1:]] == ["counted.count", "counted.index"]
    summary = run_in_process(made)
    assert (summary.load("fit"), summary.load("again")) == (4.0, 5.0)


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
