"""A pipeline run in this process: seeds fixed, failures named, next to no overhead."""

import logging
import random
import sys
from collections.abc import Iterable
from typing import final

import numpy as np
import pytest

from carrental_mlops.core import Context, Pipeline, Step, StepOutcome, run_in_process, step


class DrawStep(Step):
    @final
    def run(self) -> float:
        self.context.metric("draw", random.random())
        return random.random() + float(np.random.random())


class FailStep(Step):
    @final
    def run(self, *, value: float) -> float:
        raise LookupError("mine")


class AddStep(Step):
    @final
    def run(self, *, value: float) -> float:
        return value + 1


class Draws(Pipeline):
    name = "draws"
    one = step(DrawStep)
    two = step(DrawStep)

    def build(self) -> None:
        self.one.run()
        self.two.run()


class Fails(Pipeline):
    name = "fails"
    draw = step(DrawStep)
    fail = step(FailStep)

    def build(self) -> None:
        self.fail.run(value=self.draw.run())


def test_seed_is_set_before_each_step() -> None:
    first, again = run_in_process(Draws, context=Context(seed=3)), run_in_process(Draws, context=Context(seed=3))
    other = run_in_process(Draws, context=Context(seed=4))
    assert first.load("one") == first.load("two") == again.load("one") != other.load("one")


def test_seed_is_recorded() -> None:
    context = Context(seed=3)
    context.seed_everything()
    assert context.params == {"seed": "3"}


def test_exception_of_a_step_passes_unchanged_with_a_note_that_names_pipeline_and_step() -> None:
    told: list[tuple[str, StepOutcome | None]] = []
    with pytest.raises(LookupError, match="mine") as raised:
        run_in_process(Fails, on_step=lambda slot, outcome: told.append((slot, outcome)))
    assert raised.value.__notes__ == [f"in pipeline `fails`, step `fail` ({__name__}.FailStep)"]
    slot, outcome = told[-1]
    assert slot == "fail"
    assert outcome is not None and outcome.status == "failed"


def test_run_stops_after_the_step_that_was_asked_for() -> None:
    summary = run_in_process(Fails, until="draw")
    assert [outcome.slot for outcome in summary.steps] == ["draw"]


def _slow(monkeypatch: pytest.MonkeyPatch, items: Iterable[int], step_s: float) -> Iterable[int]:
    clock = [0.0]
    monkeypatch.setattr(sys.modules["carrental_mlops.core.context"].time, "monotonic", lambda: clock[0])

    def ticking() -> Iterable[int]:
        for item in items:
            clock[0] += step_s
            yield item

    return ticking()


def test_progress_is_told_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int | None]] = []
    context = Context(step="ingest", on_progress=lambda *what: told.append(what))
    items = list(context.progress(_slow(monkeypatch, range(10), 0.4), total=10, label="files"))
    assert items == list(range(10))
    assert told == [("files", 3, 10), ("files", 6, 10), ("files", 9, 10)]


def test_progress_goes_to_the_log_without_a_callback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="carrental_mlops"):
        list(Context(step="ingest").progress(_slow(monkeypatch, [1, 2], 0.6)))
    assert caplog.messages == ["ingest: 2"]
