"""The batch job of a release: the values that its CronJob is made of, and what would be lost with its pod."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.deploy import Batch
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.deploy.manifests.network import Egress, batch_egress_of
from carrental_mlops.deploy.manifests.pod_roles import role_arn_of
from carrental_mlops.errors import ConfigError

_DEADLINE_S = 4 * 3600
ANSWERS = {"batch_inference": "predict", "large_batch": "predict_file"}
"""Our pipelines that answer, and their step that writes the answers."""


class BatchValues(Frozen):
    """What the chart is given of the batch job."""

    job: Batch
    deadline_s: int = Field(gt=0)
    """After which Kubernetes ends a run (seconds)."""
    egress: tuple[Egress, ...]


def batch_of(config: RepoConfig, env: str) -> BatchValues | None:
    """Values of the batch job in `env`; None where crm.yaml has none.

    Raises:
        ConfigError: outside the first environment, the registry or the answers would lie in the pod and go with it.
    """
    job = config.deploy.batch
    if job is None:
        return None
    if env != config.local:
        _hold_outside(config, job, env)
    job = job.model_copy(update={"role_arn": role_arn_of(config, env, "batch")})
    return BatchValues(job=job, deadline_s=batch_deadline_s(config), egress=batch_egress_of(config))


def batch_deadline_s(config: RepoConfig) -> int:
    """How long a run of the batch job may take (seconds)."""
    job = config.deploy.batch
    return int((job.deadline_s if job else None) or config.slo.deadline_s or _DEADLINE_S)


def hold_pipelines(repo: ModelRepo) -> None:
    """Refuse a batch job that names a pipeline which the repo does not have.

    Raises:
        ConfigError: names it, and the nearest that there is.
    """
    job = repo.config.deploy.batch
    for name in job.pipelines if job else ():
        repo.pipeline(name)


def _hold_outside(config: RepoConfig, job: Batch, env: str) -> None:
    where = f"config/{env}.yaml: deploy.batch"
    if config.mlflow.tracking_uri is None:
        raise ConfigError(
            f"{where}: the job asks the registry for its model, and there is none outside this machine",
            "crm config set mlflow.tracking_uri=https://…",
        )
    name = job.pipelines[-1]
    if (slot := ANSWERS.get(name)) is None:
        return
    own = config.pipelines[name].steps if name in config.pipelines else {}
    given: dict[str, Any] = {**config.steps.get(slot, {}), **own.get(slot, {})}
    if not str(given.get("output", "")).startswith("s3://"):
        raise ConfigError(
            f"{where}: the answers of {name} would lie on the pod's disk and go with it",
            f"steps.{slot}.output: s3://bucket/answers/{{run_id}}.parquet",
        )
