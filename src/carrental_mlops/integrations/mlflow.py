"""MLflow: where it is, what runs leave there, which models are registered."""

from carrental_mlops.integrations.mlflow_client import client_for, has_registry, platform_errors, tracking_uri
from carrental_mlops.integrations.mlflow_registry import RegisteredModel, Registry, registry_for
from carrental_mlops.integrations.mlflow_runs import RunRecord, find_run, metric_name, runs
from carrental_mlops.integrations.mlflow_tracking import Tracker, close_killed_runs, lineage

__all__ = [
    "RegisteredModel",
    "Registry",
    "RunRecord",
    "Tracker",
    "client_for",
    "close_killed_runs",
    "find_run",
    "has_registry",
    "lineage",
    "metric_name",
    "platform_errors",
    "registry_for",
    "runs",
    "tracking_uri",
]
