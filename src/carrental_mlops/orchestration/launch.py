"""Run one pipeline of a model repo on the engine asked for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carrental_mlops.config.models import StepOptions
from carrental_mlops.core import Pipeline, RunSummary, Step, run_in_process
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.core.runner import OnStep, StepOutcome
from carrental_mlops.core.wiring import Ref, trace
from carrental_mlops.errors import ConfigError, GateRefused, nearest
from carrental_mlops.orchestration.interrupt import interruptible

_GATES = "carrental_mlops.steps.gate"
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
    options = repo.config.zenml
    return zenml.run(
        pipeline,
        repo.step_configs(pipeline),
        root=repo.root,
        service=repo.config.service,
        env=request.env or repo.config.environments[0],
        seed=repo.config.seed,
        stack=options.stack,
        server=options.server,
        tracking_uri=repo.config.mlflow.tracking_uri,
        enable_cache=request.enable_cache,
        on_step=on_step,
        only_step=request.step,
        steps=_step_options(repo, pipeline),
        run_config=_run_config(repo),
        on_success=pipeline.on_success,
        on_failure=pipeline.on_failure,
    )


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
    calls = trace(pipeline).calls
    if request.step is None:
        return list(calls)
    if request.step not in calls:
        raise ConfigError(f"pipeline `{pipeline.name}` has no step `{request.step}`", nearest(request.step, calls))
    order = list(calls)[: list(calls).index(request.step) + 1]
    if request.engine == "local":
        return order
    needed = {request.step}
    for slot in reversed(order):
        if slot in needed:
            needed |= {ref.step for ref in calls[slot].values() if isinstance(ref, Ref)}
    return [slot for slot in order if slot in needed]


def refusal(pipeline: type[Pipeline], summary: RunSummary) -> GateRefused | None:
    """The error to end a run with where a gate of it said no, else None."""
    if _GATES not in sys.modules:  # then no slot can hold one, and a run of light steps stays light
        return None
    gates: type[Step] = sys.modules[_GATES].GateStep
    ran = {outcome.slot for outcome in summary.steps}
    for slot, cls in pipeline.slots().items():
        if slot in ran and issubclass(cls, gates):
            verdict = summary.load(slot)
            if not verdict.passed:
                return GateRefused(f"`{slot}` said no: {'; '.join(verdict.reasons)}", "crm report open")
    return None
