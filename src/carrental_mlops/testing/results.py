"""A pipeline run in process with the repo's own configuration, its results by slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from carrental_mlops.core import Pipeline, RunSummary, run_in_process
from carrental_mlops.core.repo import open_repo


class Results(Mapping[str, Any]):
    """What each step returned, by slot: `results["gate"]`; `summary` holds times and metrics."""

    def __init__(self, summary: RunSummary) -> None:
        self.summary = summary

    def __getitem__(self, slot: str) -> Any:
        if slot not in list(self):
            raise KeyError(f"{slot}; the run has {', '.join(self)}")
        return self.summary.load(slot)

    def __iter__(self) -> Iterator[str]:
        return (step.slot for step in self.summary.steps)

    def __len__(self) -> int:
        return len(self.summary.steps)

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics of the run, later steps win."""
        return self.summary.metrics()


def run_pipeline(pipeline: type[Pipeline], root: Path, *sets: str, env: str | None = None) -> Results:
    """Run `pipeline` in this process; nothing is stored outside the run.

    Args:
        pipeline: a class of the repo's `pipelines.py`.
        root: the model repo.
        sets: `steps.ingest.source=…`, as after `crm run --set`.
        env: an environment of crm.yaml; None for the first.

    Returns:
        Slot name to what that step returned.

    Raises:
        CrmError: the configuration does not hold, or a step failed.
    """
    repo = open_repo(root, env, sets)
    return Results(run_in_process(pipeline, repo.step_configs(pipeline), repo.context(env)))
