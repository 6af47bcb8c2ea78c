"""A step of ours while ZenML runs it: its Context, and where what it recorded goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

from carrental_mlops.core.context import SEED, Context
from carrental_mlops.core.runner import OnStep, StepOutcome
from carrental_mlops.core.step import Step
from carrental_mlops.orchestration.zenml_steps import METRICS, repo_here

watcher: ContextVar[OnStep | None] = ContextVar("watcher", default=None)
"""Who is told about steps that run in the process that launched them."""


def run_step(cls: type[Step], config: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """What the step's `run` returns; its metrics go to ZenML and, in a run of ours, all it recorded to MLflow."""
    settings, context = _settings_and_context()
    tell = watcher.get() or (lambda slot, outcome: None)
    tell(context.step, None)
    started = time.perf_counter()
    try:
        with _tracking(settings.get("tracking_uri")):
            step = cls(cls.config_model().model_validate(config), context)
            context.seed_everything()
            result = step.run(**inputs)  # type: ignore[attr-defined]
            _store(settings, context)
    except BaseException:
        tell(context.step, StepOutcome(context.step, "failed", time.perf_counter() - started, dict(context.metrics)))
        raise
    seconds = time.perf_counter() - started
    tell(context.step, StepOutcome(context.step, "completed", seconds, dict(context.metrics), dict(context.params)))
    return result


def _settings_and_context() -> tuple[Mapping[str, Any], Context]:
    from zenml import get_step_context

    zen = get_step_context()
    settings = dict(zen.pipeline_run.config.extra.get("crm", {}))
    root = Path(settings.get("root") or repo_here())
    context = Context(
        run_id=zen.pipeline_run.name,
        pipeline=settings.get("pipeline") or zen.pipeline.name,
        step=zen.step_name,
        service=settings.get("service") or zen.pipeline.name,
        env=settings.get("env", "local"),
        seed=int(settings.get("seed", 0)),
        root=root if root.is_dir() else repo_here(),
        stores=True,
        tracking_uri=settings.get("tracking_uri"),
    )
    return settings, context


def _store(settings: Mapping[str, Any], context: Context) -> None:
    from zenml import log_metadata

    datasets = {name: asdict(dataset) for name, dataset in context.datasets.items()}
    noted = context.metrics or context.artefacts or datasets or context.params.keys() - {SEED}
    if settings and watcher.get() and not noted:  # the launcher has stored the seeds of all steps
        return
    if context.metrics or context.params or datasets:
        kept = {"metrics": dict(context.metrics), "params": dict(context.params), "datasets": datasets}
        log_metadata({METRICS: kept})
    if settings:
        from carrental_mlops.integrations.mlflow import Tracker, tracking_uri

        uri = tracking_uri(context.root, settings.get("tracking_uri"))
        Tracker(uri, context.service, context.run_id).record(context)


@contextmanager
def _tracking(configured: str | None) -> Iterator[None]:
    """MLFLOW_TRACKING_URI for the step, so that its registry and a hook's own `mlflow` calls meet the run's store."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    if configured and not before:
        os.environ["MLFLOW_TRACKING_URI"] = configured
    try:
        yield
    finally:
        if configured and not before:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
