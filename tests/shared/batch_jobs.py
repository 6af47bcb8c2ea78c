"""A batch job as crm.yaml has it, and what it wants beside it outside this machine."""

from __future__ import annotations

from typing import Any

from carrental_mlops.config import RepoConfig

IMAGE = "registry.example.com/fraud-payments-pipelines@sha256:" + "d" * 64
BATCH: dict[str, Any] = {"schedule": "0 3 * * *", "image": IMAGE}
OUTSIDE: dict[str, Any] = {
    "mlflow": {"tracking_uri": "https://mlflow.example.com"},
    "steps": {"predict": {"output": "s3://answers/fraud/{run_id}.parquet"},
              "predict_file": {"output": "s3://answers/fraud/{run_id}.parquet"}},
}  # fmt: skip


def with_batch(config: RepoConfig, *, outside: bool = True, **batch: Any) -> RepoConfig:
    """`config` with a batch job, and with a registry and a place of answers outside the pod."""
    value = config.model_dump(mode="json")
    value["deploy"]["batch"] = {**BATCH, **batch}
    return RepoConfig.model_validate({**value, **(OUTSIDE if outside else {})})
