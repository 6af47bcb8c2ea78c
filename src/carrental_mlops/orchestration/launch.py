"""Run one pipeline of a model repo on the engine asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core import Pipeline, RunSummary, run_in_process
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.core.runner import OnStep, StepOutcome
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ConfigError, GateRefused, nearest
from carrental_mlops.orchestration.interrupt import interruptible

Engine = Literal["zenml", "local"]


@dataclass(frozen=True)
class Request:
    """What `crm run` was asked for."""

    pipeline: str
    engine: Engine = "zenml"
    env: str | None = None
    step: str | None = None
    """On ZenML this step and what it needs, from the cache where that is stored; in process everything up to it."""
    enable_cache: bool = True


def launch(repo: ModelRepo, request: Request, on_step: OnStep = lambda slot, outcome: None) -> RunSummary:
    """The summary of a finished run.

    Raises:
        ConfigError: no such pipeline or step, or a value in crm.yaml does not hold.
        CrmError: a step failed.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the MLflow run is closed as KILLED.
    """
    pipeline = repo.pipeline(request.pipeline)
    planned_slots(pipeline, request)
    run = _on_zenml if request.engine == "zenml" else _in_process
    with interruptible() as check:

        def tell(slot: str, outcome: StepOutcome | None) -> None:
            check()
            on_step(slot, outcome)

        return run(repo, pipeline, request, tell)


def _in_process(repo: ModelRepo, pipeline: type[Pipeline], request: Request, on_step: OnStep) -> RunSummary:
    context = repo.context(request.env)
    return run_in_process(pipeline, repo.step_configs(pipeline), context, on_step, until=request.step)


def _on_zenml(repo: ModelRepo, pipeline: type[Pipeline], request: Request, on_step: OnStep) -> RunSummary:
    try:
        from carrental_mlops.orchestration import zenml
    except ModuleNotFoundError as error:
        fix = "uv sync, or: pip install 'carrental-mlops[pipelines]'; without ZenML: --engine local"
        raise ConfigError(f"`{error.name}` is not installed", fix) from error
    asked = repo.config.zenml
    options = zenml.RunOptions(
        stack=asked.stack,
        server=asked.server,
        enable_cache=request.enable_cache,
        only_step=request.step,
        steps=_step_options(repo, pipeline),
        run_config=_run_config(repo),
    )
    hooks = zenml.RunHooks(on_step, pipeline.on_success, pipeline.on_failure)
    return zenml.run(pipeline, repo.step_configs(pipeline), repo.context(request.env), options, hooks)


def _step_options(repo: ModelRepo, pipeline: type[Pipeline]) -> dict[str, StepOptions]:
    known = {slot for found in repo.pipelines().values() for slot in found.slots()}
    for name in repo.config.zenml.steps.keys() - known:
        place = repo.section.place(("zenml", "steps", name))
        raise ConfigError(f"{place}: no pipeline has a step `{name}`", nearest(name, known))
    return {slot: given for slot, given in repo.config.zenml.steps.items() if slot in pipeline.slots()}


def _run_config(repo: ModelRepo) -> Path | None:
    name = repo.config.zenml.run_config
    if name is None:
        return None
    if not (repo.root / name).is_file():
        place = repo.section.place(("zenml", "run_config"))
        raise ConfigError(f"{place}: {repo.root / name} is not a file", "write it, or remove `run_config`")
    return repo.root / name


def planned_slots(pipeline: type[Pipeline], request: Request) -> list[str]:
    """Slots that `request` would run, in the order of `build`.

    Raises:
        ConfigError: the pipeline has no step of that name.
    """
    graph = trace(pipeline)
    calls = graph.calls
    if request.step is None:
        return list(calls)
    if request.step not in calls:
        raise ConfigError(f"pipeline `{pipeline.name}` has no step `{request.step}`", nearest(request.step, calls))
    if request.engine == "local":
        return list(calls)[: list(calls).index(request.step) + 1]
    return graph.needed(request.step)


def refusal(pipeline: type[Pipeline], summary: RunSummary) -> GateRefused | None:
    """The error to end a run with, with exit code 4, where a step that `refuses` said no, else None."""
    ran = {outcome.slot for outcome in summary.steps}
    for slot, cls in pipeline.slots().items():
        if cls.refuses and slot in ran:
            verdict = summary.load(slot)
            if not verdict.passed:
                return GateRefused(f"`{slot}` said no: {'; '.join(verdict.reasons)}", "crm report open")
    return None
