"""From rows to the online store."""

from __future__ import annotations

from carrental_mlops.core import Pipeline, step
from carrental_mlops.steps import AggregateStep, IngestStep, MaterialiseStep, ValidateStep


class FeaturesPipeline(Pipeline):
    """Aggregates the windows that the repo declares and puts the newest where the service reads them.

    Hooks: ingest `clean`.
    """

    name = "features"
    ingest = step(IngestStep)
    validate = step(ValidateStep)
    aggregate = step(AggregateStep)
    materialise = step(MaterialiseStep)

    def build(self) -> None:
        """The snapshots of the rows that pass the contract go to the online store."""
        valid = self.validate.run(rows=self.ingest.run())
        self.materialise.run(tables=self.aggregate.run(rows=valid))
