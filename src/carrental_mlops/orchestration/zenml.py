"""Run our pipelines on ZenML: artefacts, lineage and caching, on any stack."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from carrental_mlops.config.models import StepOptions
from carrental_mlops.config.text import read
from carrental_mlops.core.context import SEED, Context
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.runner import OnStep, RunSummary, StepOutcome
from carrental_mlops.core.step import StepConfig
from carrental_mlops.core.wiring import trace
from carrental_mlops.deploy.releases.identity import trainer
from carrental_mlops.errors import ConfigError
from carrental_mlops.integrations import mlflow
from carrental_mlops.orchestration.recipe import OUTPUTS, RECIPE, Recipe, recipe_of
from carrental_mlops.orchestration.zenml_adapter import from_zenml
from carrental_mlops.orchestration.zenml_compile import compile_pipeline
from carrental_mlops.orchestration.zenml_context import watcher
from carrental_mlops.orchestration.zenml_home import open_home, our_signals, without_integrations
from carrental_mlops.orchestration.zenml_killed import close_killed_runs
from carrental_mlops.orchestration.zenml_steps import as_step
from carrental_mlops.orchestration.zenml_summary import (
    cached_records,
    name_failure,
    output_digests,
    steps_of,
    summarise,
)

_PARAMS = 100
"""That MLflow takes at once."""

__all__ = ["RunHooks", "RunOptions", "StepOptions", "as_step", "compile_pipeline", "from_zenml", "run"]


@dataclass(frozen=True)
class RunOptions:
    """Where a run on ZenML runs, and how much of it."""

    stack: str | None = None
    """A stack of the user's own ZenML; None is the repo's store in `.crm/`."""
    server: str | None = None
    """URL of the ZenML server that `stack` lives on."""
    enable_cache: bool = True
    """False runs every step."""
    only_step: str | None = None
    """Run this slot and what it needs."""
    steps: Mapping[str, StepOptions] = field(default_factory=dict)
    """Slot name to retries and resources."""
    run_config: Path | None = None
    """A ZenML run configuration (YAML) below the rest; with a `schedule` it is registered, not run."""


@dataclass(frozen=True)
class RunHooks:
    """Who is told about a run on ZenML."""

    on_step: OnStep = lambda slot, outcome: None
    """Called before and after each step that runs in this process, and once for each cached one."""
    on_success: Callable[[RunSummary], None] | None = None
    """Given the summary of a run that went through."""
    on_failure: Callable[[RunSummary, BaseException], None] | None = None
    """Given the summary so far and what failed."""


def run(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    context: Context,
    options: RunOptions = RunOptions(),
    hooks: RunHooks = RunHooks(),
) -> RunSummary:
    """The summary of a run on ZenML; what steps record is kept in one MLflow run.

    Args:
        pipeline: the class.
        configs: slot name to config.
        context: repo, service, environment, seed and MLflow; the run gives it an id and lets it store.
        options: where it runs, and how much of it.
        hooks: who is told.

    Raises:
        CrmError: as the step raised it, with the step's name in front.
        PlatformError: ZenML's store or MLflow cannot be reached.
        ConfigError: no such stack or step, a run configuration that does not hold, or a stack that cannot schedule.
    """
    run_id, root = _run_name(pipeline), context.root.resolve()
    started = replace(context, run_id=run_id, pipeline=pipeline.name, step="", root=root, stores=True)
    prepared = _prepare(pipeline, configs, started, options, hooks.on_step)
    token = watcher.set(prepared.progress)
    try:
        summary = _execute(prepared)
    except BaseException as error:
        name_failure(error, prepared.progress.seen, run_id)
        if hooks.on_failure:
            _tell_failure(hooks.on_failure, prepared.summary(), error)
        raise
    finally:
        watcher.reset(token)
    prepared.progress.finish(summary)
    if hooks.on_success:
        hooks.on_success(summary)
    return summary


@dataclass(frozen=True)
class _Prepared:
    """All that a run needs once nothing of what was asked for can be wrong any more."""

    pipeline: type[Pipeline]
    context: Context
    options: RunOptions
    client: Any
    compiled: Any
    recipe: Recipe
    tracker: mlflow.Tracker
    progress: _Progress

    def summary(self, steps: Mapping[str, Any] | None = None) -> RunSummary:
        """The run as far as it came; `steps` are those that ZenML holds, where they were read already."""
        stack = self.options.stack
        place = f"stack {stack}" if stack else str(self.context.state / "zenml")
        urls = {"mlflow": self.tracker.uri, "zenml": place}
        return summarise(self.pipeline, self.client, self.context.run_id, self.progress.seen, urls, steps)


def _prepare(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    context: Context,
    options: RunOptions,
    on_step: OnStep,
) -> _Prepared:
    client = open_home(context.root, options.stack, options.server)
    compiled = compile_pipeline(
        pipeline,
        configs,
        root=context.root,
        seed=context.seed,
        extra=_settings(context),
        steps=options.steps,
        only_step=options.only_step,
        enable_cache=options.enable_cache,
        enable_step_logs=False,
        enable_pipeline_logs=False,
        enable_heartbeat=False,
    )
    configured = _configured(compiled, context, options.run_config)
    uri = mlflow.tracking_uri(context.root, context.tracking_uri)
    tracker = mlflow.Tracker(uri, context.service, context.run_id)
    recipe, progress = recipe_of(pipeline, configs, context), _Progress(pipeline, on_step)
    return _Prepared(pipeline, context, options, client, configured, recipe, tracker, progress)


def _configured(compiled: Any, context: Context, run_config: Path | None) -> Any:
    """`compiled` with its YAML, under our name or, where it is scheduled, one that each time makes anew.

    Raises:
        ConfigError: the YAML is broken or holds what ZenML does not take; names file and line.
    """
    if run_config is None:
        return compiled.with_options(run_name=context.run_id)
    from zenml.config.pipeline_run_configuration import PipelineRunConfiguration

    asked, lines = read(run_config)
    try:
        PipelineRunConfiguration.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"]
        place = next(lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in lines)
        what = f"{place}: `{'.'.join(map(str, key))}`: {first['msg']}"
        raise ConfigError(what, "write it as ZenML's run configuration wants it") from error
    name = f"{context.pipeline}-{{date}}-{{time}}" if "schedule" in asked else context.run_id
    return compiled.with_options(run_name=name, config_path=str(run_config))


def _execute(run: _Prepared) -> RunSummary:
    context, tracker, options = run.context, run.tracker, run.options
    tags = {"fingerprint": run.recipe.fingerprint(), "trained_by": trainer(context.root, context.env, os.environ) or ""}
    with tracker.running(context, {name: value for name, value in tags.items() if value}):
        tracker.keep(RECIPE, run.recipe.to_json())
        if options.stack is None:
            close_killed_runs(run.client, tracker.uri, context.service)
        _record_seeds(tracker, context, trace(run.pipeline).needed(options.only_step))
        with our_signals(), nullcontext() if options.stack else without_integrations():
            _start(run.compiled)
        ran = steps_of(run.client, context.run_id)
        summary = run.summary(ran)
        _record(run, ran)
    return summary


def _record(run: _Prepared, ran: Mapping[str, Any]) -> None:
    """Put into MLflow what steps from the cache had recorded, and the digest of every output."""
    for slot, kept in cached_records(run.client, ran).items():
        run.tracker.record(replace(run.context, step=slot, artefacts={}, **kept._asdict()))
    run.tracker.keep(OUTPUTS, output_digests(ran))


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
        self._graph = trace(pipeline)

    def __call__(self, slot: str, outcome: StepOutcome | None) -> None:
        self.seen[slot] = outcome
        if outcome is None and slot in self._pipeline.slots():
            for earlier in [s for s in self._graph.needed(slot) if s != slot]:
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


def _record_seeds(tracker: mlflow.Tracker, context: Context, slots: Iterable[str]) -> None:
    """Store every step's seed in one go; a step that records nothing else then has nothing to write."""
    names = [f"{slot}.{SEED}" for slot in sorted(slots)]
    for some in (names[n : n + _PARAMS] for n in range(0, len(names), _PARAMS)):
        tracker.record(replace(context, step="", metrics={}, params=dict.fromkeys(some, str(context.seed))))


def _run_name(pipeline: type[Pipeline]) -> str:
    return f"{pipeline.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def _settings(context: Context) -> dict[str, Any]:
    """What a step of the run reads back, in whatever process it runs; no credentials: those stay in the environment."""
    return {
        "pipeline": context.pipeline,
        "service": context.service,
        "env": context.env,
        "seed": context.seed,
        "root": str(context.root),
        "tracking_uri": context.tracking_uri,
    }
