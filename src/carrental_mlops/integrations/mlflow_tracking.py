"""What a run of ours leaves in MLflow: one MLflow run each, found again by its `crm.run_id`."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.core.context import Context
from carrental_mlops.errors import ConfigError
from carrental_mlops.integrations.mlflow_client import artifact_location, client_for, platform_errors

_UNFIT = re.compile(r"[^\w\-. :/]")


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
    params: Mapping[str, str]
    tags: Mapping[str, str]
    datasets: Mapping[str, str]
    """Dataset name to digest."""


class Tracker:
    """Writes one run of `service` to the MLflow store at `tracking_uri`.

    `start` in the process that launches the run; steps, wherever they run, make a Tracker of the same three values.
    Every method raises PlatformError (retryable) when the store cannot be reached.
    """

    def __init__(self, tracking_uri: str, service: str, run_id: str) -> None:
        self.uri, self.service, self.run_id = tracking_uri, service, run_id

    @property
    def mlflow_run_id(self) -> str:
        """MLflow's id of the run; opens it where nobody has yet."""
        return mlflow_run_id(self.uri, self.service, self.run_id)

    def start(self, context: Context, tags: Mapping[str, str] | None = None) -> str:
        """MLflow's id of the run, tagged with pipeline, environment, seed, package, template and git commit."""
        from mlflow.entities import RunTag

        described = {
            "pipeline": context.pipeline,
            "env": context.env,
            "seed": str(context.seed),
            **code_tags(context.root),
            **(tags or {}),
        }
        with platform_errors(self.uri):
            run = self.mlflow_run_id
            client_for(self.uri).log_batch(run, tags=[RunTag(f"crm.{k}", v) for k, v in described.items()])
            return run

    def record(self, context: Context) -> None:
        """Store what one step recorded: metrics and params as `<step>.<name>`, artefacts below `<step>/`."""
        from mlflow.entities import Metric, Param

        now, prefix = int(time.time() * 1000), f"{context.step}." if context.step else ""
        metrics = [Metric(_fit(prefix + k), v, now, 0) for k, v in context.metrics.items()]
        params = [Param(_fit(prefix + k), v[:6000]) for k, v in context.params.items()]
        with platform_errors(self.uri):
            client, run = client_for(self.uri), self.mlflow_run_id
            if metrics or params:
                client.log_batch(run, metrics=metrics, params=params)
            for path in context.artefacts.values():
                if path.is_dir():
                    client.log_artifacts(run, str(path), f"{context.step}/{path.name}")
                elif path.is_file():
                    client.log_artifact(run, str(path), context.step or None)

    def dataset(self, name: str, digest: str, rows: int, columns: Mapping[str, str], source: str, role: str) -> None:
        """Link a data set to the run (MLflow's `log_input`).

        Args:
            name: such as `train`.
            digest: of its content; MLflow keeps 36 characters.
            rows: how many.
            columns: name to dtype.
            source: where it was read from.
            role: MLflow's context of the input, such as `training`.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        schema = json.dumps({"columns": dict(columns)})[:60_000]
        profile = json.dumps({"num_rows": rows, "sha256": digest})
        data = Dataset(name, digest[:36], "local", json.dumps({"uri": source}), schema=schema, profile=profile)
        with platform_errors(self.uri):
            inputs = [DatasetInput(data, tags=[InputTag("mlflow.data.context", role)])]
            client_for(self.uri).log_inputs(self.mlflow_run_id, datasets=inputs)

    def keep(self, name: str, value: Mapping[str, Any]) -> None:
        """Store `value` as the JSON artefact `name` of the run."""
        with platform_errors(self.uri):
            client_for(self.uri).log_dict(self.mlflow_run_id, dict(value), name)

    def document(self, name: str) -> dict[str, Any] | None:
        """What `keep` stored as `name`; None where nothing was."""
        with platform_errors(self.uri), tempfile.TemporaryDirectory(prefix="crm-document-") as scratch:
            client, run = client_for(self.uri), self.mlflow_run_id
            if name not in {f.path for f in client.list_artifacts(run, name.rpartition("/")[0] or None)}:
                return None
            text = Path(client.download_artifacts(run, name, scratch)).read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads(text)
            return found

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Close the run."""
        with platform_errors(self.uri):
            client_for(self.uri).set_terminated(self.mlflow_run_id, status=status)


@functools.cache
def mlflow_run_id(uri: str, service: str, run_id: str) -> str:
    """MLflow's id of the run that carries `run_id`; a new one where there is none."""
    with platform_errors(uri):
        client, experiment = client_for(uri), _experiment(uri, service)
        found = client.search_runs([experiment], f"tags.`crm.run_id` = '{run_id}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {
            "crm.run_id": run_id,
            "crm.service": service,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "crm",
        }
        return str(client.create_run(experiment, tags=tags, run_name=run_id).info.run_id)


def runs(uri: str, service: str, limit: int = 20) -> list[RunRecord]:
    """The latest runs of `service`, newest first."""
    with platform_errors(uri):
        client = client_for(uri)
        experiment = client.get_experiment_by_name(service)
        if experiment is None:
            return []
        found = client.search_runs(
            [experiment.experiment_id], "", order_by=["attributes.start_time DESC"], max_results=limit
        )
        return [_record(run) for run in found]


def find_run(uri: str, service: str, run_id: str) -> RunRecord:
    """The run whose `crm.run_id` or MLflow id is, or begins with, `run_id`.

    Raises:
        ConfigError: none, or several.
    """
    fits = [r for r in runs(uri, service, 1000) if r.run_id.startswith(run_id) or r.mlflow_run_id.startswith(run_id)]
    exact = [r for r in fits if run_id in (r.run_id, r.mlflow_run_id)] or fits
    if len(exact) != 1:
        raise ConfigError(f"{len(exact)} runs of {service} begin with `{run_id}`", "pick one from: crm runs list")
    return exact[0]


def code_tags(root: Path) -> dict[str, str]:
    """Which code runs: package version, template and its version, git commit and whether the tree differs from it."""
    tags = {"package_version": importlib.metadata.version("carrental-mlops")}
    answers = root / ".crm.json"
    if answers.is_file():
        recorded = json.loads(answers.read_text(encoding="utf-8"))
        tags |= {
            k: str(recorded[v])
            for k, v in {"template": "template", "template_version": "version"}.items()
            if v in recorded
        }
    commit = _git(root, "rev-parse", "HEAD")
    if commit is not None:
        tags |= {"git_commit": commit, "git_dirty": str(bool(_git(root, "status", "--porcelain"))).lower()}
    return tags


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _experiment(uri: str, service: str) -> str:
    from mlflow.exceptions import MlflowException

    client = client_for(uri)
    found = client.get_experiment_by_name(service)
    if found is None:
        try:
            return str(client.create_experiment(service, artifact_location=artifact_location(uri)))
        except MlflowException:
            found = client.get_experiment_by_name(service)
            if found is None:
                raise
    return str(found.experiment_id)


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


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name)[:250]
