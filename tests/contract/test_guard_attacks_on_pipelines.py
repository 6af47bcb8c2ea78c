"""Slots that hold no step, and a `build` that does more than connect: each is refused with file, line and mend."""

from __future__ import annotations

from typing import Any, NamedTuple, final

import pytest
from guard_attacked import Attacks, FitStep, One, assert_refused_there

from carrental_mlops.core import Pipeline, Step, drop, run_in_process, step
from carrental_mlops.core.wiring import trace

attack = Attacks()


class Single(NamedTuple):
    output: int


class Counted(NamedTuple):
    count: int  # type: ignore[assignment]  # mypy: a tuple has it as a method; it works all the same
    index: int  # type: ignore[assignment]


class Inner(Pipeline):
    one = step(One)

    def build(self) -> None:
        self.one.run()


def built(build: Any, **slots: Any) -> type[Pipeline]:
    return type("Team", (Pipeline,), {"one": step(One), "fit": step(FitStep), **slots, "build": build})  # type: ignore[return-value]


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


@pytest.mark.parametrize("name", attack)
def test_a_way_around_a_pipelines_wiring_is_refused(name: str) -> None:
    assert_refused_there(attack[name])


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
