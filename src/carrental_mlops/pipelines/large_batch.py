"""From a file of any size to the champion's answers."""

from __future__ import annotations

from carrental_mlops.core import Pipeline, step
from carrental_mlops.steps import ChampionStep, PredictFileStep


class LargeBatchPipeline(Pipeline):
    """Scores a Parquet file in memory that does not grow with it, on the history tables of the features pipeline.

    Rows pass neither ingest `clean` nor the row contract; `BatchInferencePipeline` is for those that must. The
    `ModelService` that predict_file names has `decide` and `reasons`.
    """

    name = "large_batch"
    champion = step(ChampionStep)
    predict_file = step(PredictFileStep)

    def build(self) -> None:
        """The champion answers the file that predict_file reads itself."""
        self.predict_file.run(champion=self.champion.run())
