"""What a finished training found and was told by its gate, as one record."""

from __future__ import annotations

from typing import Any

from carrental_mlops.core import RunSummary
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.deploy.ci.run_record import RunRecord, record_of
from carrental_mlops.errors import ConfigError
from carrental_mlops.steps.gate import Verdict


def judged(summary: RunSummary, refused: str | None) -> RunRecord:
    """The record of `summary`.

    Args:
        summary: of a run, on whichever engine.
        refused: why it ended with exit code 4, or None.

    Raises:
        ConfigError: the run evaluated or judged nothing.
    """
    results = [summary.load(step.slot) for step in summary.steps]
    evaluation, verdict = _last(results, Evaluation), _last(results, Verdict)
    if evaluation is None or verdict is None:
        raise ConfigError(f"a run of {summary.pipeline} has no evaluation and gate to record", "leave --record out")
    return record_of(summary.pipeline, summary.run_id, evaluation, verdict.checks, refused)


def _last(results: list[Any], kind: type[Any]) -> Any:
    return next((one for one in reversed(results) if isinstance(one, kind)), None)
