"""Step, hook and Pipeline: pydantic and the standard library only."""

from carrental_mlops.core.context import Context, Dataset
from carrental_mlops.core.guarded import Guarded
from carrental_mlops.core.hook import call, hook
from carrental_mlops.core.pipeline import Pipeline, drop, step
from carrental_mlops.core.runner import RunSummary, StepOutcome, run_in_process
from carrental_mlops.core.step import Step, StepConfig

__all__ = [
    "Context",
    "Dataset",
    "Guarded",
    "Pipeline",
    "RunSummary",
    "Step",
    "StepConfig",
    "StepOutcome",
    "call",
    "drop",
    "hook",
    "run_in_process",
    "step",
]
