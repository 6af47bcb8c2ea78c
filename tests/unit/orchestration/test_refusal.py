"""Any step that says it may refuse ends a run with exit code 4, a default gate or not."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, final

from carrental_mlops.core import Pipeline, Step, run_in_process, step
from carrental_mlops.orchestration.launch import refusal
from carrental_mlops.steps import GateStep


class Answer(NamedTuple):
    passed: bool
    reasons: tuple[str, ...]


class Committee(Step):
    refuses: ClassVar[bool] = True

    @final
    def run(self) -> Answer:
        return Answer(False, ("nobody came", "too late"))


class Voted(Pipeline):
    name = "voted"
    vote = step(Committee)

    def build(self) -> None:
        self.vote.run()


class Ignored(Voted):
    vote = step(type("Lenient", (Committee,), {"refuses": False, "__module__": __name__}))


def test_a_step_that_may_refuse_ends_the_run_with_its_reasons() -> None:
    error = refusal(Voted, run_in_process(Voted))
    assert error is not None and error.exit_code == 4
    assert error.what == "`vote` said no: nobody came; too late"
    assert GateStep.refuses and not Step.refuses


def test_a_no_of_another_step_refuses_nothing() -> None:
    assert refusal(Ignored, run_in_process(Ignored)) is None
