"""Trainings of a model repo, as MLflow has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from carrental_mlops.config import RepoConfig
from carrental_mlops.errors import DataError
from carrental_mlops.integrations.mlflow_client import database_of, tracking_uri
from carrental_mlops.integrations.mlflow_runs import RunRecord, runs
from carrental_mlops.kpi.events import Training

MOST = 20_000
"""Runs of one store that are read."""


def trainings(root: Path, configs: Iterable[RepoConfig]) -> tuple[Training, ...]:
    """Finished trainings, oldest first: runs of the pipeline `training`, and any that asked a gate.

    A refused gate ends a run as FAILED; it has trained all the same.

    Args:
        root: of the model repo.
        configs: of each environment; every store that they name is read once, and none is made.

    Raises:
        PlatformError: a store cannot be reached.
        DataError: one holds more runs than are read, so that the first ones would be missed.
    """
    found: dict[str, RunRecord] = {}
    for uri, service in dict.fromkeys((tracking_uri(root, one.mlflow.tracking_uri), one.service) for one in configs):
        database = database_of(uri)
        if database is not None and not database.is_file():
            continue
        read = runs(uri, service, MOST)
        if len(read) == MOST:
            raise DataError(f"MLflow has more than {MOST} runs of {service}", "move its oldest runs to an archive")
        found |= {one.mlflow_run_id: one for one in read}
    made = [one for one in map(_training, found.values()) if one is not None]
    return tuple(sorted(made, key=lambda one: one.at))


def _training(run: RunRecord) -> Training | None:
    gates = [value for name, value in run.metrics.items() if name.partition(".")[2] == "gate_passed"]
    whole = run.status == "FINISHED" and run.pipeline == "training"
    if run.seconds is None or not (whole or gates):
        return None
    ended = datetime.fromtimestamp(run.started_ms / 1000 + run.seconds, UTC)
    return Training(at=ended, commit=run.tags.get("crm.git_commit"), passed=bool(gates) and min(gates) >= 1)
