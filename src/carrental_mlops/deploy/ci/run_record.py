"""What a training run found, as a file that goes from one CI job to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.data.measures.curves import Curve
from carrental_mlops.data.measures.evaluation import Evaluation, Interval
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""JSON has no NaN: it is written as null."""


class Line(Frozen):
    """A curve's points."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Figures(Frozen):
    """One model on the test rows."""

    version: str = ""
    """Of a registered model; empty for the candidate."""
    metrics: dict[str, Number] = {}
    curves: dict[str, Line] = {}
    """`pr`, `roc`, `calibration`."""


class Tuned(Frozen):
    """A setting of crm.yaml that a search within the run chose anew."""

    before: float | int | str | bool | None
    """As crm.yaml, or the step's default, has it."""
    after: float | int | str | bool | None


class RunRecord(Frozen):
    """A run of the training pipeline, judged."""

    pipeline: str
    run_id: str
    rows: int = Field(ge=0)
    """Test rows."""
    positives: int
    candidate: Figures
    champion: Figures | None = None
    """On the same rows; None where there is none or it could not be measured."""
    problem: str = ""
    """Why the champion could not be measured."""
    differences: dict[str, tuple[Number, Number]] = {}
    """Candidate minus champion, bootstrap interval."""
    checks: tuple[str, ...]
    """Every rule of the gate, `met: …` or `not met: …`."""
    refused: str | None = None
    """Why the run ended with exit code 4."""
    tuned: dict[str, Tuned] = {}
    """Dotted key of crm.yaml to what the search chose; empty where nothing was tuned."""
    tuned_elsewhere: tuple[str, ...] = ()
    """What was tuned and is no setting: parameters of an estimator of the team's own."""

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        with whole_file(path) as draft:
            draft.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """What `write` wrote.

        Raises:
            DataError: the file is missing or is no such record.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise DataError(f"{path}: no record of a run: {error}", f"crm run training --record {path}") from error


def record_of(
    pipeline: str, run_id: str, evaluation: Evaluation, checks: tuple[str, ...], refused: str | None
) -> RunRecord:
    """The record of a run.

    Args:
        pipeline: its name. run_id: of the run.
        evaluation: of the candidate, beside the champion.
        checks: the gate's.
        refused: why it ended with exit code 4, or None.
    """
    other = evaluation.champion
    known = bool(other.version) and not other.problem
    return RunRecord(
        pipeline=pipeline,
        run_id=run_id,
        rows=evaluation.rows,
        positives=evaluation.positives,
        candidate=_figures("", evaluation.metrics, evaluation.curves),
        champion=_figures(other.version, other.metrics, other.curves) if known else None,
        problem=other.problem,
        differences={name: _pair(interval) for name, interval in other.differences.items()},
        checks=checks,
        refused=refused,
    )


def _figures(version: str, metrics: Mapping[str, float], curves: Mapping[str, Curve]) -> Figures:
    lines = {name: Line(x=curve.x, y=curve.y) for name, curve in curves.items()}
    return Figures(version=version, metrics=dict(metrics), curves=lines)


def _pair(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
