"""A batch scored by the champion, through the class that the service runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NewType, final

import pandas as pd
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.core import Step, StepConfig
from carrental_mlops.errors import DataError
from carrental_mlops.serving import ModelService
from carrental_mlops.steps.champion import Champion
from carrental_mlops.steps.files import whole_file
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
        """The champion's answer to each row; written to `output` where the run stores.

        Raises:
            DataError: there is no champion, or a field of the service is missing.
            PlatformError: the output cannot be written.
        """
        if champion.model is None:
            raise DataError(f"predict: {self.context.service} has no champion to score with", "crm run training")
        service = self.service(champion.model)
        answered = [self._answered(service, part, champion.version) for part in self._chunks(rows)]
        predictions = Predictions(pd.concat(answered)) if answered else _none(self.config.columns.id)
        self.context.metric("predicted_rows", len(predictions))
        for decision, count in predictions["decision"].value_counts().items():
            self.context.metric(f"decided_{decision}", count)
        if self.context.stores:
            self._write(predictions)
        return predictions

    def _chunks(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        size = self.config.chunk_rows
        return (rows.iloc[start : start + size] for start in range(0, len(rows), size))

    def _answered(self, service: ModelService, part: pd.DataFrame, version: str | None) -> pd.DataFrame:
        request: dict[str, Any] = {name: part[name].to_numpy() for name in service.fields() if name in part.columns}
        answer = service.answer(request)
        answers = {
            self.config.columns.id: part[self.config.columns.id],
            "score": answer.scores,
            "decision": answer.decisions.astype(object),
            "reason": list(answer.reasons),
            "model_version": version or "",
        }
        return pd.DataFrame(answers, index=part.index)

    def _write(self, predictions: pd.DataFrame) -> None:
        output = self.config.output.format(run_id=self.context.run_id)
        self.context.param("predictions", output)
        if "://" in output:
            predictions.to_parquet(output, index=False)
            return
        with whole_file(self.context.root / output) as draft:
            predictions.to_parquet(draft, index=False)


def _none(id_column: str) -> Predictions:
    return Predictions(
        pd.DataFrame(
            {n: pd.Series(dtype=t) for n, t in ((id_column, object), ("score", float), ("decision", object))}
            | {n: pd.Series(dtype=object) for n in ("reason", "model_version")}
        )
    )
