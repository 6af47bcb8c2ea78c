"""Newest snapshots of each entity in the online store, where the service reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

from carrental_mlops.core import Step, StepConfig
from carrental_mlops.data.aggregate import FeatureTables
from carrental_mlops.data.features import FeatureSet


@dataclass(frozen=True)
class Materialisation:
    """What the step did."""

    stored: bool
    """False for a run in process, which stores nothing."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """View name to rows of its snapshots."""


class MaterialiseConfig(StepConfig):
    """No settings: the online store is the environment's."""


class MaterialiseStep(Step):
    """Writes what the online store lacks; its effect lies outside the run: never cached. Hooks: none."""

    config: MaterialiseConfig
    feature_set: ClassVar[type[FeatureSet]]
    cacheable: ClassVar[bool] = False

    @final
    def run(self, *, tables: FeatureTables) -> Materialisation:
        """What was materialised from `tables`.

        Raises:
            DataError: a table, key, timestamp or feature is missing.
            PlatformError: the online store does not answer.
        """
        rows = {view: len(table) for view, table in tables.tables.items()}
        for view, count in rows.items():
            self.context.metric(f"snapshots_{view}", count)
        if self.context.stores and self.feature_set.history:
            from carrental_mlops.integrations.feast import materialise

            materialise(self.context, self.feature_set, tables.tables)
        return Materialisation(self.context.stores, rows)
