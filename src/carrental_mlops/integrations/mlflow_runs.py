"""Past runs of ours, read back from MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.integrations.mlflow_client import client_for, platform_errors

_CODE = (
    *("pipeline", "env", "seed", "package_version", "template", "template_version"),
    *("git_commit", "git_dirty", "fingerprint"),
)


@dataclass(frozen=True)
class RunRecord:
    """A run as `crm runs list` shows it."""

    run_id: str
    mlflow_run_id: str
    pipeline: str
    env: str
    status: str
    started_ms: int
    """Milliseconds since 1970, UTC."""
    seconds: float | None
    """None while it runs."""
    metrics: Mapping[str, float]
    """`<step>.<name>` to value."""
    params: Mapping[str, str]
    """`<step>.<name>` to text."""
    tags: Mapping[str, str]
    datasets: Mapping[str, str]
    """Data set name to the first 36 digits of its digest."""

    def code(self) -> dict[str, str]:
        """What the run was made of, the data aside: pipeline, environment, seed, versions, git commit, fingerprint."""
        return {name: self.tags[f"crm.{name}"] for name in _CODE if f"crm.{name}" in self.tags}

    def own_tags(self) -> dict[str, str]:
        """Tags that neither `crm` nor MLflow set."""
        return {k: v for k, v in self.tags.items() if not k.startswith(("crm.", "mlflow."))}


def runs(uri: str, service: str, limit: int = 20) -> list[RunRecord]:
    """The latest runs of `service`, newest first.

    Raises:
        PlatformError: the store cannot be reached; retryable.
    """
    with platform_errors(uri):
        client = client_for(uri)
        experiment = client.get_experiment_by_name(service)
        if experiment is None:
            return []
        found = client.search_runs(
            [experiment.experiment_id], "", order_by=["attributes.start_time DESC"], max_results=limit
        )
        return [_record(run) for run in found]


def stands_for(short: str, run_id: str) -> bool:
    """Whether `short` means `run_id`: its beginning, or that of its last part (`3f2a` of `training-…-3f2a9c`)."""
    return run_id.startswith(short) or run_id.rpartition("-")[2].startswith(short)


def find_run(uri: str, service: str, run_id: str) -> RunRecord:
    """The run that `run_id` stands for: `crm.run_id` or MLflow's id, whole or shortened as `stands_for` says.

    Raises:
        ConfigError: none, or several.
    """
    fits = [r for r in runs(uri, service, 1000) if any(stands_for(run_id, i) for i in (r.run_id, r.mlflow_run_id))]
    exact = [r for r in fits if run_id in (r.run_id, r.mlflow_run_id)] or fits
    if len(exact) != 1:
        mend = "crm runs list, then the id or the last 6 characters of it"
        raise ConfigError(f"{len(exact)} runs of {service} are named `{run_id}`, in whole or in short", mend)
    return exact[0]


def metric_name(name: str, found: Iterable[RunRecord]) -> str:
    """`<step>.<name>` of the metric that `name` means: itself, or the one whose part after the step it is.

    Raises:
        ConfigError: no run has it, with the nearest names; or several steps have it.
    """
    known = sorted({metric for run in found for metric in run.metrics})
    if name in known or not known:
        return name
    fits = [metric for metric in known if metric.partition(".")[2] == name]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ConfigError(f"metric `{name}` is one of several steps", f"choose one of: {', '.join(fits)}")
    bare = {metric.partition(".")[2]: metric for metric in known}
    raise ConfigError(f"no run listed here has a metric `{name}`", nearest(name, {*known, *bare}))


def _record(run: Any) -> RunRecord:
    info, data, tags = run.info, run.data, run.data.tags
    seconds = (info.end_time - info.start_time) / 1000 if info.end_time else None
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return RunRecord(
        tags.get("crm.run_id", info.run_id),
        info.run_id,
        tags.get("crm.pipeline", ""),
        tags.get("crm.env", ""),
        info.status,
        info.start_time,
        seconds,
        {k: v for k, v in data.metrics.items() if math.isfinite(v)},
        dict(data.params),
        dict(tags),
        {i.dataset.name: i.dataset.digest for i in inputs},
    )
