"""MLflow: where it is, what runs leave there, which models are registered."""

from carrental_mlops.integrations.mlflow_client import client_for, platform_errors, tracking_uri
from carrental_mlops.integrations.mlflow_registry import RegisteredModel, Registry, registry_for
from carrental_mlops.integrations.mlflow_tracking import RunRecord, Tracker, find_run, runs

__all__ = [
    "RegisteredModel",
    "Registry",
    "RunRecord",
    "Tracker",
    "client_for",
    "find_run",
    "platform_errors",
    "registry_for",
    "runs",
    "tracking_uri",
]
