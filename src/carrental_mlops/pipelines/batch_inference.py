"""From rows to the champion's answers."""

from __future__ import annotations

from carrental_mlops.core import Pipeline, step
from carrental_mlops.steps import AggregateStep, ChampionStep, FeaturesStep, IngestStep, PredictStep, ValidateStep


class BatchInferencePipeline(Pipeline):
    """Scores a batch through the class that the service runs.

    Hooks: ingest `clean`. The `ModelService` that predict names has `decide` and `reasons`.
    """

    name = "batch_inference"
    ingest = step(IngestStep)
    validate = step(ValidateStep)
    aggregate = step(AggregateStep)
    features = step(FeaturesStep)
    champion = step(ChampionStep)
    predict = step(PredictStep)

    def build(self) -> None:
        """Rows are read and checked as in training; the history comes from the same rows."""
        valid = self.validate.run(rows=self.ingest.run())
        rows = self.features.run(rows=valid, tables=self.aggregate.run(rows=valid))
        self.predict.run(rows=rows, champion=self.champion.run())
