"""Every mistake in a pipeline is refused when its class is made, with file, line and the mend."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NewType, final

import pytest

from carrental_mlops.core import Pipeline, Step, StepConfig, drop, run_in_process, step
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import WiringError

Raw = NewType("Raw", list)  # type: ignore[type-arg]
Clean = NewType("Clean", list)  # type: ignore[type-arg]


class Parts(NamedTuple):
    train: Clean
    test: list  # type: ignore[type-arg]


class IngestStep(Step):
    @final
    def run(self) -> Raw:
        return Raw([1, 2, 3, 4])


class SplitStep(Step):
    @final
    def run(self, *, rows: Raw) -> Parts:
        return Parts(Clean(rows[:3]), rows[3:])


class FitConfig(StepConfig):
    depth: int = 2


class FitStep(Step):
    config: FitConfig

    @final
    def run(self, *, train: Clean, start: float = 0.0) -> float:
        return sum(train) * self.config.depth + start


class JudgeStep(Step):
    @final
    def run(self, *, model: float, test: list) -> bool:  # type: ignore[type-arg]
        return model > sum(test)


class Base(Pipeline):
    name = "base"
    ingest = step(IngestStep)
    split = step(SplitStep)
    fit = step(FitStep)
    judge = step(JudgeStep)

    def build(self) -> None:
        parts = self.split.run(rows=self.ingest.run())
        self.judge.run(model=self.fit.run(train=parts.train), test=parts.test)


class TeamFit(FitStep):
    pass


def made(**body: Any) -> type[Pipeline]:
    return type("Team", (Base,), body)  # type: ignore[return-value]


def built(connect: Callable[[Any, Any, Any], object]) -> Callable[[], type[Pipeline]]:
    """A pipeline whose build hands (self, raw, parts) to `connect` and then does what the base does."""

    def build(self: Any) -> None:
        raw = self.ingest.run()
        parts = self.split.run(rows=raw)
        connect(self, raw, parts)
        self.judge.run(model=self.fit.run(train=parts.train), test=parts.test)

    return lambda: made(build=build)


async def _async_build(self: Any) -> None:
    pass


class SlotMixin:
    fit = step(JudgeStep)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "forgot step()": (lambda: made(fit=TeamFit), r"is TeamFit, not a slot"),
    "slot filled with an instance": (lambda: made(fit=TeamFit()), "not a slot"),
    "slot filled with a function": (lambda: made(fit=lambda self: None), "not a slot"),
    "step() of an instance": (lambda: step(TeamFit()), "not a Step class"),  # type: ignore[type-var,arg-type]
    "misspelt slot": (lambda: made(fitt=step(TeamFit)), "never called"),
    "another step": (lambda: made(fit=step(JudgeStep)), "not a FitStep"),
    "another step through a mixin": (lambda: type("Team", (SlotMixin, Base), {}), "not a FitStep"),
    "new slot never called": (lambda: made(extra=step(IngestStep)), "`Team.extra`.*never called"),
    "inherited slot never called": (lambda: made(build=lambda self: self.ingest.run() and None), "branches"),
    "own build without a step": (lambda: made(build=lambda self: self.ingest.run()), r"never called by build"),
    "dropped slot still called": (lambda: made(judge=drop("by hand")), "write your own `build` in Team"),
    "drop of no slot": (lambda: made(jugde=drop("by hand")), "rename it to `judge`"),
    "raw rows to fit": (built(lambda s, raw, parts: s.fit.run(train=raw)), "`train` wants Clean, ingest.output is Raw"),
    "plain list to fit": (built(lambda s, raw, parts: s.fit.run(train=parts.test)), "wants Clean"),
    "unknown output": (built(lambda s, raw, parts: parts.trian), "no output `trian`"),
    "forgot an input": (built(lambda s, raw, parts: s.judge.run(test=parts.test)), "`model: float` is not connected"),
    "unknown input": (built(lambda s, raw, parts: s.fit.run(train=parts.train, tune=raw)), "no input `tune`"),
    "input by position": (built(lambda s, raw, parts: s.fit.run(parts.train)), "inputs go by name"),
    "literal": (built(lambda s, raw, parts: s.fit.run(train=parts.train, start=1.5)), "literal 1.5"),
    "None": (built(lambda s, raw, parts: s.fit.run(train=None)), "literal None"),
    "step as input": (built(lambda s, raw, parts: s.fit.run(train=s.split)), "given the step `split`"),
    "all outputs as input": (built(lambda s, raw, parts: s.fit.run(train=parts)), "all outputs"),
    "called twice": (built(lambda s, raw, parts: s.split.run(rows=raw)), "called twice"),
    "unknown slot": (built(lambda s, raw, parts: s.fitt), "no slot `fitt`"),
    "hook called": (built(lambda s, raw, parts: s.fit.config), "may only call .run"),
    "if value": (built(lambda s, raw, parts: 1 if raw else 2), "branches"),
    "not value": (built(lambda s, raw, parts: not raw), "branches"),
    "value == x": (built(lambda s, raw, parts: raw == 3), "branches"),
    "value != x": (built(lambda s, raw, parts: raw != 3), "branches"),
    "value < x": (built(lambda s, raw, parts: raw < 3), "branches"),
    "value >= x": (built(lambda s, raw, parts: raw >= 3), "branches"),
    "x in value": (built(lambda s, raw, parts: 3 in raw), "branches"),
    "value in list": (built(lambda s, raw, parts: raw in [3]), "branches"),
    "len(value)": (built(lambda s, raw, parts: len(raw)), "branches"),
    "for in value": (built(lambda s, raw, parts: [*raw]), "branches"),
    "value[0]": (built(lambda s, raw, parts: raw[0]), "branches"),
    "value + 1": (built(lambda s, raw, parts: raw + 1), "computes"),
    "1 + value": (built(lambda s, raw, parts: 1 + raw), "computes"),
    "value()": (built(lambda s, raw, parts: raw()), "computes"),
    "str(value)": (built(lambda s, raw, parts: str(raw)), "branches"),
    "int(value)": (built(lambda s, raw, parts: int(raw)), "branches"),
    "value.shape": (built(lambda s, raw, parts: raw.shape), "reads `shape`"),
    "value.x = 1": (built(lambda s, raw, parts: setattr(raw, "x", 1)), "sets `x`"),
    "if outputs": (built(lambda s, raw, parts: 1 if parts else 2), "branches"),
    "len(outputs)": (built(lambda s, raw, parts: len(parts)), "branches"),
    "outputs == x": (built(lambda s, raw, parts: parts == ()), "branches"),
    "x in outputs": (built(lambda s, raw, parts: 3 in parts), "branches"),
    "async build": (lambda: made(build=_async_build), "async"),
    "generator build": (lambda: made(build=lambda self: (yield)), "generator"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistake_in_a_pipeline_is_refused_with_file_line_and_mend(case: str) -> None:
    mistake, says = REFUSED[case]
    with pytest.raises(WiringError) as refused:
        mistake()
    assert re.search(says, str(refused.value)), refused.value
    assert re.search(r"test_guard_wiring\.py:\d+", refused.value.what), refused.value.what
    assert refused.value.fix


def test_one_slot_object_under_two_names_is_refused() -> None:
    shared = step(IngestStep)
    with pytest.raises(WiringError, match="again"):
        made(first=shared, second=shared)


def test_team_with_its_own_build_is_told_when_a_release_adds_a_step() -> None:
    class Released(Base):
        calibrate = step(FitStep)

        def build(self) -> None:
            parts = self.split.run(rows=self.ingest.run())
            model = self.fit.run(train=parts.train)
            self.calibrate.run(train=parts.train)
            self.judge.run(model=model, test=parts.test)

    with pytest.raises(WiringError, match=r"calibrate.*never called(.|\n)*drop"):

        class Team(Released):
            def build(self) -> None:
                parts = self.split.run(rows=self.ingest.run())
                self.judge.run(model=self.fit.run(train=parts.train), test=parts.test)


def test_team_that_drops_a_slot_and_writes_its_build_is_accepted() -> None:
    class Team(Base):
        judge = drop("a person decides")

        def build(self) -> None:
            self.fit.run(train=self.split.run(rows=self.ingest.run()).train)

    assert list(Team.slots()) == ["ingest", "split", "fit"]
    assert Team.dropped() == {"judge": "a person decides"}
    assert run_in_process(Team).load("fit") == 12.0


def test_slot_refilled_with_a_subclass_keeps_the_wiring() -> None:
    class Team(Base):
        fit = step(TeamFit)

    assert Team.slots()["fit"] is TeamFit
    graph = {slot: {n: str(ref) for n, ref in given.items()} for slot, given in trace(Team).calls.items()}
    assert graph == {
        "ingest": {},
        "split": {"rows": "ingest.output"},
        "fit": {"train": "split.train"},
        "judge": {"model": "fit.output", "test": "split.test"},
    }


def test_outputs_may_be_unpacked_by_position() -> None:
    class Team(Base):
        def build(self) -> None:
            train, test = self.split.run(rows=self.ingest.run())
            self.judge.run(model=self.fit.run(train=train), test=test)

    assert run_in_process(Team).load("judge") is True


def test_closed_names_of_a_pipeline_are_refused() -> None:
    for name in ("slots", "__init__", "bound", "dropped", "_admit"):
        with pytest.raises(TypeError, match=name):
            made(**{name: lambda self: None})


def test_assignment_to_a_pipeline_after_its_creation_is_refused() -> None:
    for name in ("fit", "build", "anything"):
        with pytest.raises(TypeError, match="after the class was made"):
            setattr(Base, name, step(TeamFit))


def test_tracing_takes_under_a_millisecond_a_pipeline() -> None:
    import timeit

    assert min(timeit.repeat(lambda: trace(Base), number=1, repeat=20)) < 0.001
