"""Run and compile our pipelines on ZenML: artefacts, lineage and caching, on any stack."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from carrental_mlops.core.context import Context
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.runner import OnStep, RunSummary, StepOutcome
from carrental_mlops.core.step import StepConfig
from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.integrations.mlflow import Tracker, tracking_uri
from carrental_mlops.orchestration.zenml_adapter import from_zenml
from carrental_mlops.orchestration.zenml_context import watcher
from carrental_mlops.orchestration.zenml_home import open_home
from carrental_mlops.orchestration.zenml_steps import LeftOut, ZenSlot, as_step, needed, zen_step
from carrental_mlops.orchestration.zenml_summary import cached_records, name_failure, summarise

__all__ = ["StepOptions", "as_step", "compile_pipeline", "from_zenml", "run"]


@dataclass(frozen=True)
class StepOptions:
    """What a stack gives one step."""

    retries: int = 0
    """Further tries after a failure."""
    retry_delay_s: int = 10
    cpus: float | None = None
    gpus: int | None = None
    memory: str | None = None
    """Such as `8GB`."""

    def zenml(self) -> dict[str, Any]:
        """The same as arguments of a ZenML step."""
        from zenml.config import ResourceSettings
        from zenml.config.retry_config import StepRetryConfig

        found: dict[str, Any] = {}
        if self.retries:
            found["retry"] = StepRetryConfig(max_retries=self.retries, delay=self.retry_delay_s)
        wanted = {"cpu_count": self.cpus, "gpu_count": self.gpus, "memory": self.memory}
        given = {k: v for k, v in wanted.items() if v is not None}
        if given:
            found["settings"] = {"resources": ResourceSettings(**given)}
        return found


def compile_pipeline(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    *,
    seed: int = 0,
    extra: Mapping[str, Any] | None = None,
    steps: Mapping[str, StepOptions] | None = None,
    only_step: str | None = None,
    **options: Any,
) -> Any:
    """The genuine ZenML pipeline of `pipeline`; call it to run it on the active stack.

    Args:
        pipeline: the class.
        configs: slot name to config; a slot that is absent takes its defaults.
        seed: of every step; part of the cache key.
        extra: what steps read of their run, under `crm`.
        steps: slot name to retries and resources.
        only_step: leave out every slot that this one does not need.
        options: further arguments of ZenML's `pipeline`: `enable_cache`, `model`, `on_success`, `on_failure`, ….

    Raises:
        ContractError: an output has a type that nothing but pickle could keep.
        ConfigError: no slot has the name `only_step`, or one of `steps`.
    """
    from zenml import pipeline as zen_pipeline

    slots = pipeline.slots()
    for name in {*(steps or {}), *([only_step] if only_step else [])} - slots.keys():
        raise ConfigError(f"pipeline {pipeline.name} has no step `{name}`", nearest(name, slots))
    wanted = needed(pipeline, only_step)
    values = {slot: configs[slot] if slot in configs else cls.config_model()() for slot, cls in slots.items()}

    def connect() -> None:
        bound: dict[str, Any] = {}
        for slot, cls in slots.items():
            given = (steps or {}).get(slot, StepOptions()).zenml()
            bound[slot] = (
                ZenSlot(cls, values[slot], zen_step(cls, slot, values[slot], seed, given))
                if slot in wanted
                else LeftOut(cls)
            )
        pipeline(bound).build()

    connect.__name__ = connect.__qualname__ = pipeline.name.replace("-", "_")
    connect.__doc__ = pipeline.__doc__
    return zen_pipeline(name=pipeline.name, extra={"crm": dict(extra or {})}, **options)(connect)


def run(
    pipeline: type[Pipeline],
    configs: Mapping[str, StepConfig],
    *,
    root: Path,
    service: str,
    env: str = "local",
    seed: int = 0,
    stack: str | None = None,
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
        tracking_uri: MLflow's, where MLFLOW_TRACKING_URI is not set; None is the repo's store in `.crm/`.
        enable_cache: False runs every step.
        on_step: told before and after each step that runs in this process, and once of each cached one.
        only_step: run this slot and what it needs.
        steps: slot name to retries and resources.
        run_config: a ZenML run configuration (YAML) laid over the rest.
        on_success: given the summary of a run that went through.
        on_failure: given the summary so far and what failed.

    Raises:
        CrmError: as the step raised it, with the step's name in front.
        PlatformError: ZenML's store or MLflow cannot be reached.
        ConfigError: no such stack or step.
    """
    client = open_home(root, stack)
    run_id = f"{pipeline.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    settings = {
        "pipeline": pipeline.name,
        "service": service,
        "env": env,
        "seed": seed,
        "root": str(root.resolve()),
        "tracking_uri": tracking_uri,
    }
    compiled = compile_pipeline(
        pipeline, configs, seed=seed, extra=settings, steps=steps, only_step=only_step,
        enable_cache=enable_cache, enable_step_logs=False, enable_pipeline_logs=False, enable_heartbeat=False,
    )  # fmt: skip
    context = Context(run_id, pipeline.name, "", service, env, seed, root, stores=True)
    tracker = _start(context, tracking_uri)
    urls = {"mlflow": tracker.uri, "zenml": str(root / ".crm" / "zenml") if stack is None else f"stack {stack}"}
    seen: dict[str, StepOutcome | None] = {}

    def tell(slot: str, outcome: StepOutcome | None) -> None:
        seen[slot] = outcome
        on_step(slot, outcome)

    token = watcher.set(tell)
    try:
        compiled.with_options(run_name=run_id, config_path=str(run_config) if run_config else None)()
    except BaseException as error:
        tracker.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        name_failure(error, seen, run_id)
        if on_failure:
            on_failure(summarise(pipeline, client, run_id, seen, urls), error)
        raise
    finally:
        watcher.reset(token)
    summary = summarise(pipeline, client, run_id, seen, urls)
    _report_cached(summary, cached_records(client, run_id), tracker, context, on_step)
    tracker.finish()
    if on_success:
        on_success(summary)
    return summary


def _start(context: Context, configured: str | None) -> Tracker:
    tracker = Tracker(tracking_uri(context.root, configured), context.service, context.run_id)
    tracker.start(context)
    return tracker


def _report_cached(
    summary: RunSummary,
    records: Mapping[str, tuple[dict[str, float], dict[str, str]]],
    tracker: Tracker,
    context: Context,
    on_step: OnStep,
) -> None:
    for outcome in summary.steps:
        if outcome.slot in records:
            metrics, params = records[outcome.slot]
            tracker.record(replace(context, step=outcome.slot, metrics=metrics, params=params, artefacts={}))
            on_step(outcome.slot, outcome)
