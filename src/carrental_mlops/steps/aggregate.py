"""Windows over the past that the repo declares, as daily snapshots."""

from __future__ import annotations

from typing import ClassVar, final

from carrental_mlops.config import Columns
from carrental_mlops.core import Step, StepConfig
from carrental_mlops.data.aggregate import FeatureTables, aggregate
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.steps.tables import ValidRows


class AggregateConfig(StepConfig):
    """Which columns hold entity, time and label; what is aggregated stands in `features.py`."""

    columns: Columns
    """Filled from the top level of crm.yaml."""


class AggregateStep(Step):
    """Nothing to override here: declare `history` in `features.py`."""

    config: AggregateConfig
    feature_set: ClassVar[type[FeatureSet]]

    @final
    def run(self, *, rows: ValidRows) -> FeatureTables:
        """A table of snapshots for each history view; `FeatureTables` says their shape."""
        tables = aggregate(rows, self.feature_set.history, self.config.columns)
        for view, table in tables.tables.items():
            self.context.metric(f"snapshots_{view}", len(table))
        return tables
