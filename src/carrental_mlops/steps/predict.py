"""A batch scored by the champion, through the class that the service runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar, NewType, final

import pandas as pd
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.core import Step, StepConfig
from carrental_mlops.serving import ModelService
from carrental_mlops.steps.batch_answers import BatchScorer, answers_file, no_answers
from carrental_mlops.steps.champion import Champion
from carrental_mlops.steps.tables import FeatureRows

Predictions = NewType("Predictions", pd.DataFrame)
"""The id column, `score`, `decision`, `reason`, `model_version`: one row for each row that came in, in its order."""


class PredictConfig(StepConfig):
    """Where the answers go."""

    output: str = ".crm/predictions/{run_id}.parquet"
    """Parquet file, relative to the repo, or an `s3://` address; `{run_id}` is filled in."""
    chunk_rows: int = Field(default=100_000, gt=0)
    """Rows scored at a time; bounds memory, changes no answer."""
    columns: Columns
    """Filled from the top level of crm.yaml."""


class PredictStep(Step):
    """Scores rows in chunks and writes them. Hooks: none; `ModelService` has them."""

    config: PredictConfig
    service: ClassVar[type[ModelService]]
    cacheable: ClassVar[bool] = False

    @final
    def run(self, *, rows: FeatureRows, champion: Champion) -> Predictions:
        """The champion's answer to each row; written to `output`, a row group a chunk, where the run stores.

        Raises:
            DataError: there is no champion, or a field of the service is missing.
            PlatformError: the output cannot be written.
        """
        answered = []
        scorer = BatchScorer.of(self.service, champion, self.context, self.config.columns)
        stored = answers_file(self.config.output, self.context, self.config.columns.id)
        with stored if self.context.stores else contextlib.nullcontext() as file:
            for part in self._chunks(rows):
                answered.append(scorer.answer(part))
                if file is not None:
                    file.write(answered[-1])
        scorer.count(self.context)
        return Predictions(pd.concat(answered) if answered else no_answers(self.config.columns.id))

    def _chunks(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        size = self.config.chunk_rows
        return (rows.iloc[start : start + size] for start in range(0, len(rows), size))
