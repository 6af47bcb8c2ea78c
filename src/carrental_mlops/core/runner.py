"""Run a pipeline in this process: nothing stored, a debugger steps straight through."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from carrental_mlops.core.context import Context
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.step import Step, StepConfig


@dataclass(frozen=True)
class StepOutcome:
    """How one step of a run went."""

    slot: str
    status: Literal["completed", "cached", "failed"]
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    """What the step recorded as chosen, such as `tuned_num_leaves`."""


@dataclass(frozen=True)
class RunSummary:
    """A finished run; every engine returns one."""

    pipeline: str
    run_id: str
    engine: Literal["local", "zenml"]
    steps: tuple[StepOutcome, ...]
    load: Callable[[str], Any]
    """Slot name to what its `run` returned (a NamedTuple for several outputs)."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """Where things lie: `mlflow`, `zenml`, `report`, …"""

    def metrics(self) -> dict[str, float]:
        """All metrics of the run, later steps win."""
        return {k: v for step in self.steps for k, v in step.metrics.items()}


OnStep = Callable[[str, StepOutcome | None], None]
"""Called with the slot name before a step (None) and after it."""


class _Reached(Exception):
    """The last step that was asked for is done."""


class _Timed:
    def __init__(self, slot: str, step: Step, done: dict[str, tuple[StepOutcome, Any]], on_step: OnStep) -> None:
        self._slot, self._step, self._done, self._on_step = slot, step, done, on_step

    def run(self, **inputs: Any) -> Any:
        self._on_step(self._slot, None)
        self._step.context.seed_everything()
        started = time.perf_counter()
        try:
            result = self._step.run(**inputs)  # type: ignore[attr-defined]
        except Exception as error:
            seconds = time.perf_counter() - started
            self._on_step(self._slot, StepOutcome(self._slot, "failed", seconds, dict(self._step.context.metrics)))
            name = f"{type(self._step).__module__}.{type(self._step).__qualname__}"
            error.add_note(f"in pipeline `{self._step.context.pipeline}`, step `{self._slot}` ({name})")
            raise
        seconds = time.perf_counter() - started
        told = self._step.context
        outcome = StepOutcome(self._slot, "completed", seconds, dict(told.metrics), dict(told.params))
        self._done[self._slot] = outcome, result
        self._on_step(self._slot, outcome)
        return result


def run_in_process(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig] | None = None,
    context: Context | None = None,
    on_step: OnStep = lambda slot, outcome: None,
    until: str | None = None,
) -> RunSummary:
    """The summary of a run of `pipeline`; what a step raises passes unchanged, with a note that names the step.

    Args:
        pipeline: the class; its slots are made here.
        configs: slot name to config; a slot that is not named gets its defaults.
        context: copied for each step, with metrics, params and artefacts of its own.
        on_step: told before a step (None) and after it, also when it failed.
        until: the last slot to run.
    """
    context = context or Context()
    done: dict[str, tuple[StepOutcome, Any]] = {}
    steps = {
        slot: cls(
            (configs or {}).get(slot),
            replace(context, pipeline=pipeline.name, step=slot, metrics={}, params={}, artefacts={}, datasets={}),
        )
        for slot, cls in pipeline.slots().items()
    }

    def tell(slot: str, outcome: StepOutcome | None) -> None:
        on_step(slot, outcome)
        if outcome is not None and slot == until:
            raise _Reached

    with contextlib.suppress(_Reached):
        pipeline({slot: _Timed(slot, s, done, tell) for slot, s in steps.items()}).build()
    return RunSummary(
        pipeline.name, context.run_id, "local", tuple(o for o, _ in done.values()), lambda slot: done[slot][1]
    )
