"""Newest snapshots of each entity in the online store, where the service reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

from carrental_mlops.config.models import Feast
from carrental_mlops.config.serving import Serving
from carrental_mlops.core import Step, StepConfig
from carrental_mlops.data.aggregate import FeatureTables
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.steps.features import own_views
from carrental_mlops.steps.online_proof import prove_online


@dataclass(frozen=True)
class Materialisation:
    """What the step did."""

    stored: bool
    """False for a run in process, which stores nothing."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """View name to rows of its snapshots; of a view of the team's own, to its entities."""


class MaterialiseConfig(StepConfig):
    """Which online store the snapshots go to."""

    feast: Feast = Feast()
    """Filled from the top level of crm.yaml."""
    serving: Serving = Serving()
    """Filled from the top level of crm.yaml."""


class MaterialiseStep(Step):
    """Writes what the online store lacks; its effect lies outside the run: never cached. Hooks: none."""

    config: MaterialiseConfig
    feature_set: ClassVar[type[FeatureSet]]
    cacheable: ClassVar[bool] = False

    @final
    def run(self, *, tables: FeatureTables) -> Materialisation:
        """What was materialised from `tables`, and from the repo's own views where `stored` names features of theirs.

        Raises:
            DataError: a table, key, timestamp or feature is missing, or the service's own way of reading the online
                store gives other values than Feast's.
            PlatformError: the online store does not answer.
        """
        rows = {view: len(table) for view, table in tables.tables.items()}
        for view, count in rows.items():
            self.context.metric(f"snapshots_{view}", count)
        if self.context.stores and self.feature_set.references():
            from carrental_mlops.integrations.feast import materialise

            views = own_views(self.feature_set)
            done = materialise(self.context, self.feature_set, tables.tables, views, self.config.feast.online)
            rows |= {view: made.entities for view, made in done.items() if view not in rows}
            if self.config.serving.features.source != "request":
                prove_online(self.context, self.feature_set, tables, self.config.feast.online)
        return Materialisation(self.context.stores, rows)
