"""How many rows a source usually has, by the last run that ended well."""

from __future__ import annotations

from dataclasses import dataclass

from carrental_mlops.core import Context
from carrental_mlops.errors import DataError


@dataclass(frozen=True)
class RowLimits:
    """How many rows are believed."""

    source: str
    max_rows: int | None = None
    """As configured."""
    usual: int | None = None
    """Of the last run that ended well."""
    run_id: str = ""
    """That run's."""
    max_change: float | None = None
    """Factor by which the rows may grow or shrink, itself excluded."""

    @property
    def most(self) -> int | None:
        """No row beyond these need be read."""
        grown = self.usual * self.max_change if self.usual and self.max_change else None
        limits = [int(limit) for limit in (self.max_rows, grown) if limit is not None]
        return min(limits, default=None)

    def check(self, rows: int) -> None:
        """Let a believable number pass.

        Raises:
            DataError: more than `max_rows`, or `max_change` times more or fewer than in the last run.
        """
        if self.max_rows and rows > self.max_rows:
            raise DataError(
                f"ingest: {rows} rows or more in {self.source}, at most {self.max_rows} expected",
                "mend the source, or raise steps.ingest.max_rows",
            )
        if not self.usual or not self.max_change:
            return
        if not self.usual / self.max_change < rows < self.usual * self.max_change:
            raise DataError(
                f"ingest: {rows} rows{' or more' if rows > self.usual else ''} in {self.source}, "
                f"{self.usual} in the last run that ended well ({self.run_id}); "
                f"less than {self.max_change:g} times as many or as few are expected",
                "mend the source (a delivery read twice, or half of one?); if the rows are right, accept them once: "
                "crm run … --set steps.ingest.max_change=null",
            )


def row_limits(context: Context, source: str, max_rows: int | None, max_change: float | None) -> RowLimits:
    """Limits from the config and from the last run of this pipeline, environment and source that ended well.

    Raises:
        PlatformError: MLflow cannot be reached.
    """
    from carrental_mlops.integrations.mlflow import has_registry, runs, tracking_uri

    if max_change is None or source.startswith("sim://") or not has_registry(context):
        return RowLimits(source, max_rows)
    step = context.step or "ingest"
    for run in runs(tracking_uri(context.root, context.tracking_uri), context.service, 200):
        same = (run.pipeline, run.env, run.params.get(f"{step}.source")) == (context.pipeline, context.env, source)
        if same and run.status == "FINISHED" and f"{step}.rows_read" in run.metrics:
            return RowLimits(source, max_rows, int(run.metrics[f"{step}.rows_read"]), run.run_id, max_change)
    return RowLimits(source, max_rows)
