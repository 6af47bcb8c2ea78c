"""ZenML's record of a run whose process was killed: it would stand as RUNNING for good."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from carrental_mlops.integrations.mlflow import runs

_LOOKED_AT = 200
"""Newest runs of the service in MLflow."""


def close_killed_runs(client: Any, tracking_uri: str, service: str) -> list[str]:
    """Names of the runs that ZenML held as RUNNING though MLflow knows that they ended; they are FAILED now.

    MLflow closes what was killed before a run begins, and there a live process counts as living.

    Raises:
        PlatformError: MLflow cannot be reached.
    """
    from zenml.enums import ExecutionStatus
    from zenml.models import PipelineRunUpdate, StepRunUpdate

    open_ = client.list_pipeline_runs(status=ExecutionStatus.RUNNING, size=_LOOKED_AT).items
    if not open_:
        return []
    ended = {r.run_id: r.status for r in runs(tracking_uri, service, _LOOKED_AT) if r.status != "RUNNING"}
    closed = []
    for run in (r for r in open_ if r.name in ended):
        now, failed = datetime.now(UTC), ExecutionStatus.FAILED
        for step in client.list_run_steps(
            pipeline_run_id=run.id, status=ExecutionStatus.RUNNING, size=_LOOKED_AT
        ).items:
            client.zen_store.update_run_step(step.id, StepRunUpdate(status=failed, end_time=now))
        why = f"the process was killed; MLflow: {ended[run.name]}"
        client.zen_store.update_run(run.id, PipelineRunUpdate(status=failed, status_reason=why, end_time=now))
        closed.append(str(run.name))
    return closed
