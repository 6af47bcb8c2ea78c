"""Run our pipelines on ZenML: artefacts, lineage and caching, on any stack."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core.context import SEED, Context
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.runner import OnStep, RunSummary, StepOutcome
from carrental_mlops.core.step import StepConfig
from carrental_mlops.errors import ConfigError
from carrental_mlops.integrations import mlflow
from carrental_mlops.orchestration.recipe import OUTPUTS, RECIPE, recipe_of
from carrental_mlops.orchestration.zenml_adapter import from_zenml
from carrental_mlops.orchestration.zenml_compile import compile_pipeline
from carrental_mlops.orchestration.zenml_context import watcher
from carrental_mlops.orchestration.zenml_home import open_home, our_signals, without_integrations
from carrental_mlops.orchestration.zenml_steps import as_step, needed
from carrental_mlops.orchestration.zenml_summary import (
    cached_records,
    name_failure,
    output_digests,
    steps_of,
    summarise,
)

_PARAMS = 100
"""That MLflow takes at once."""

__all__ = ["StepOptions", "as_step", "compile_pipeline", "from_zenml", "run"]


def run(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    *,
    root: Path,
    service: str,
    env: str = "local",
    seed: int = 0,
    stack: str | None = None,
    server: str | None = None,
    tracking_uri: str | None = None,
    enable_cache: bool = True,
    on_step: OnStep = lambda slot, outcome: None,
    only_step: str | None = None,
    steps: Mapping[str, StepOptions] | None = None,
    run_config: Path | None = None,
    on_success: Callable[[RunSummary], None] | None = None,
    on_failure: Callable[[RunSummary, BaseException], None] | None = None,
) -> RunSummary:
    """The summary of a run on ZenML; what steps record is kept in one MLflow run.

    Args:
        pipeline: the class.
        configs: slot name to config.
        root: the model repo.
        service: MLflow's experiment and registered model.
        env: environment name, recorded.
        seed: of every step.
        stack: a stack of the user's own ZenML; None is the repo's store in `.crm/`.
        server: URL of the ZenML server that `stack` lives on.
        tracking_uri: MLflow's, where MLFLOW_TRACKING_URI is not set; None is the repo's store in `.crm/`.
        enable_cache: False runs every step.
        on_step: told before and after each step that runs in this process, and once of each cached one.
        only_step: run this slot and what it needs.
        steps: slot name to retries and resources.
        run_config: a ZenML run configuration (YAML) below the rest; with a `schedule` it is registered, not run.
        on_success: given the summary of a run that went through.
        on_failure: given the summary so far and what failed.

    Raises:
        CrmError: as the step raised it, with the step's name in front.
        PlatformError: ZenML's store or MLflow cannot be reached.
        ConfigError: no such stack or step, or a stack that cannot schedule.
    """
    context = Context(_run_name(pipeline), pipeline.name, "", service, env, seed, root.resolve(), stores=True)
    client = open_home(root, stack, server)
    compiled = compile_pipeline(
        pipeline, configs, root=root, seed=seed, extra=_settings(context, tracking_uri), steps=steps,
        only_step=only_step, enable_cache=enable_cache, enable_step_logs=False, enable_pipeline_logs=False,
        enable_heartbeat=False,
    ).with_options(run_name=_name(context, run_config), config_path=run_config and str(run_config))  # fmt: skip
    tracker = mlflow.Tracker(mlflow.tracking_uri(root, tracking_uri), service, context.run_id)
    urls = {"mlflow": tracker.uri, "zenml": f"stack {stack}" if stack else str(context.state / "zenml")}
    recipe, progress = recipe_of(pipeline, configs, context), _Progress(pipeline, on_step)
    token = watcher.set(progress)
    try:
        with tracker.running(context, {"fingerprint": recipe.fingerprint()}):
            tracker.keep(RECIPE, recipe.to_json())
            _record_seeds(tracker, context, needed(pipeline, only_step))
            with our_signals(), nullcontext() if stack else without_integrations():
                _start(compiled)
            ran = steps_of(client, context.run_id)
            summary = summarise(pipeline, client, context.run_id, progress.seen, urls, ran)
            for slot, kept in cached_records(client, ran).items():
                tracker.record(replace(context, step=slot, artefacts={}, **kept._asdict()))
            tracker.keep(OUTPUTS, output_digests(ran))
    except BaseException as error:
        name_failure(error, progress.seen, context.run_id)
        if on_failure:
            _tell_failure(on_failure, summarise(pipeline, client, context.run_id, progress.seen, urls), error)
        raise
    finally:
        watcher.reset(token)
    progress.finish(summary)
    if on_success:
        on_success(summary)
    return summary


def _name(context: Context, run_config: Path | None) -> str:
    """ZenML's name of the run: ours, or where it is scheduled one that each time makes anew."""
    import yaml

    asked = yaml.safe_load(run_config.read_text(encoding="utf-8")) if run_config else None
    return f"{context.pipeline}-{{date}}-{{time}}" if "schedule" in (asked or {}) else context.run_id


def _start(compiled: Any) -> None:
    try:
        compiled()
    except ValueError as error:
        if "does not support scheduling" not in str(error):
            raise
        raise ConfigError(
            str(error).split(". ")[0], "name a stack whose orchestrator schedules: zenml.stack, or remove `schedule`"
        ) from error


def _tell_failure(
    on_failure: Callable[[RunSummary, BaseException], None], summary: RunSummary, error: BaseException
) -> None:
    """Call the hook; what it raises must not hide what failed."""
    try:
        on_failure(summary, error)
    except Exception as also:
        error.add_note(f"and on_failure raised {also!r}")


class _Progress:
    """Tells `on_step` each step once; a step that another one needed, and that nobody saw run, came from the cache."""

    def __init__(self, pipeline: type[Pipeline], on_step: OnStep) -> None:
        self.seen: dict[str, StepOutcome | None] = {}
        """What this process was told by the steps themselves."""
        self._pipeline, self._on_step, self._told = pipeline, on_step, set[str]()

    def __call__(self, slot: str, outcome: StepOutcome | None) -> None:
        self.seen[slot] = outcome
        if outcome is None and slot in self._pipeline.slots():
            before = needed(self._pipeline, slot) - {slot}
            for earlier in [s for s in self._pipeline.slots() if s in before]:
                self._tell(StepOutcome(earlier, "cached", 0.0))
        self._told.add(slot)
        self._on_step(slot, outcome)

    def finish(self, summary: RunSummary) -> None:
        """Tell of the steps that are left."""
        for outcome in summary.steps:
            self._tell(outcome)

    def _tell(self, outcome: StepOutcome) -> None:
        if outcome.slot not in self._told:
            self._told.add(outcome.slot)
            self._on_step(outcome.slot, outcome)


def _record_seeds(tracker: mlflow.Tracker, context: Context, slots: set[str]) -> None:
    """Store every step's seed in one go; a step that records nothing else then has nothing to write."""
    names = [f"{slot}.{SEED}" for slot in sorted(slots)]
    for some in (names[n : n + _PARAMS] for n in range(0, len(names), _PARAMS)):
        tracker.record(replace(context, step="", metrics={}, params=dict.fromkeys(some, str(context.seed))))


def _run_name(pipeline: type[Pipeline]) -> str:
    return f"{pipeline.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def _settings(context: Context, tracking_uri: str | None) -> dict[str, Any]:
    """What a step of the run reads back, in whatever process it runs; no credentials: those stay in the environment."""
    return {
        "pipeline": context.pipeline,
        "service": context.service,
        "env": context.env,
        "seed": context.seed,
        "root": str(context.root),
        "tracking_uri": tracking_uri,
    }
