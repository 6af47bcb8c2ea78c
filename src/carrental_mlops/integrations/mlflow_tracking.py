"""What a run of ours leaves in MLflow: one MLflow run each, found again by its `crm.run_id`."""

from __future__ import annotations

import functools
import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.core.context import Context, Dataset
from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations.code_version import code_tags
from carrental_mlops.integrations.mlflow_client import artifact_location, client_for, database_of, platform_errors
from carrental_mlops.integrations.processes import HOST, PID, has_ended, identity

_UNFIT = re.compile(r"[^\w\-. :/]")
_LINEAGE = ("git_commit", "git_dirty", "package_version", "template", "template_version", "fingerprint", "seed",
            "trained_by")  # fmt: skip
Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker:
    """Writes one run of `service` to the MLflow store at `tracking_uri`.

    `running` in the process that launches the run; steps, wherever they run, make a Tracker of the same three values.
    Every method raises PlatformError (retryable) when the store cannot be reached.
    """

    def __init__(self, tracking_uri: str, service: str, run_id: str) -> None:
        self.uri, self.service, self.run_id = tracking_uri, service, run_id

    @property
    def mlflow_run_id(self) -> str:
        """MLflow's id of the run; opens it where nobody has yet."""
        return mlflow_run_id(self.uri, self.service, self.run_id)

    @contextmanager
    def running(self, context: Context, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """MLflow's id of the run, open inside the block: FINISHED after it, KILLED by Ctrl-C, FAILED by any error."""
        run = self.start(context, tags)
        try:
            yield run
        except BaseException as error:
            self._close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", error)
            raise
        self.finish()

    def start(self, context: Context, tags: Mapping[str, str] | None = None) -> str:
        """MLflow's id of the run, tagged with pipeline, environment, seed, package, template and git commit.

        Runs of the service whose process on this host was killed are closed first, as KILLED.
        """
        from mlflow.entities import RunTag

        described = {
            "pipeline": context.pipeline,
            "env": context.env,
            "seed": str(context.seed),
            **code_tags(context.root),
            **(tags or {}),
        }
        close_killed_runs(self.uri, self.service)
        with platform_errors(self.uri):
            run = self.mlflow_run_id
            client_for(self.uri).log_batch(run, tags=[RunTag(f"crm.{k}", v) for k, v in described.items()])
            return run

    def record(self, context: Context) -> None:
        """Store what one step recorded: metrics and params as `<step>.<name>`, artefacts below `<step>/`, data sets."""
        from mlflow.entities import Metric, Param

        now, prefix = int(time.time() * 1000), f"{context.step}." if context.step else ""
        metrics = [Metric(_fit(prefix + k), v, now, 0) for k, v in context.metrics.items()]
        params = [Param(_fit(prefix + k), v[:6000]) for k, v in context.params.items()]
        with platform_errors(self.uri):
            client, run = client_for(self.uri), self.mlflow_run_id
            if metrics or params:
                client.log_batch(run, metrics=metrics, params=params)
            if context.datasets:
                client.log_inputs(run, datasets=[_input(name, one) for name, one in context.datasets.items()])
            for path in context.artefacts.values():
                if path.is_dir():
                    client.log_artifacts(run, str(path), f"{context.step}/{path.name}")
                elif path.is_file():
                    client.log_artifact(run, str(path), context.step or None)

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

    def lineage(self) -> dict[str, str]:
        """What `start` said of code, template and seed, and `mlflow_run_id`; what the run does not know is left out."""
        with platform_errors(self.uri):
            tags = client_for(self.uri).get_run(self.mlflow_run_id).data.tags
        known = {name: str(tags[f"crm.{name}"]) for name in _LINEAGE if f"crm.{name}" in tags}
        return {**known, "mlflow_run_id": self.mlflow_run_id}

    def finish(self, status: Status = "FINISHED") -> None:
        """Close the run."""
        with platform_errors(self.uri):
            client_for(self.uri).set_terminated(self.mlflow_run_id, status=status)

    def _close(self, status: Status, error: BaseException) -> None:
        """Close the run without hiding what failed."""
        try:
            self.finish(status)
        except PlatformError as also:
            error.add_note(f"and the run could not be closed: {also.what}")


def close_killed_runs(uri: str, service: str) -> list[str]:
    """MLflow ids of the runs of `service` that stood as RUNNING though their process on this host had ended.

    They are KILLED now, and the tag `crm.ended` says why. A run of another host is left alone.

    Raises:
        PlatformError: the store cannot be reached; retryable.
    """
    here, local = identity(), database_of(uri) is not None
    with platform_errors(uri):
        client, experiment = client_for(uri), _experiment(uri, service)
        asked = f"attributes.status = 'RUNNING' AND tags.`{HOST}` = '{here[HOST]}'"
        closed = []
        for run in client.search_runs([experiment], asked):
            tags = run.data.tags
            if has_ended(tags, restart_counts=local):
                client.set_tag(run.info.run_id, "crm.ended", f"process {tags[PID]} was killed before it closed the run")
                client.set_terminated(run.info.run_id, status="KILLED")
                closed.append(str(run.info.run_id))
        return closed


def lineage(context: Context, tracking_uri: str) -> dict[str, str]:
    """Code, template, seed and `mlflow_run_id` of the run; where nothing is tracked, as in process, code and seed."""
    known = {**code_tags(context.root), "seed": str(context.seed)}
    database = database_of(tracking_uri)
    if context.stores and (database is None or database.is_file()):
        known |= Tracker(tracking_uri, context.service, context.run_id).lineage()
    return known


@functools.cache
def mlflow_run_id(uri: str, service: str, run_id: str) -> str:
    """MLflow's id of the run that carries `run_id`; a new one where there is none."""
    with platform_errors(uri):
        client, experiment = client_for(uri), _experiment(uri, service)
        found = client.search_runs([experiment], f"tags.`crm.run_id` = '{run_id}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {
            **identity(),
            "crm.run_id": run_id,
            "crm.service": service,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "crm",
        }
        return str(client.create_run(experiment, tags=tags, run_name=run_id).info.run_id)


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


def _input(name: str, dataset: Dataset) -> Any:
    from mlflow.entities import Dataset as Stored
    from mlflow.entities import DatasetInput, InputTag

    stored = Stored(
        name,
        dataset.digest[:36],  # MLflow keeps no more; the whole one stands in the profile
        "local",
        json.dumps({"uri": dataset.source}),
        schema=json.dumps({"columns": dict(dataset.columns)})[:60_000],
        profile=json.dumps({"num_rows": dataset.rows, "sha256": dataset.digest}),
    )
    return DatasetInput(stored, tags=[InputTag("mlflow.data.context", dataset.role)])


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name)[:250]
