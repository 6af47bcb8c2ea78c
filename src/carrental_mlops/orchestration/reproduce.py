"""A registered model made again from what was recorded, and what differs where it is not equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from carrental_mlops.core import run_in_process
from carrental_mlops.core.pipeline import Pipeline
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.core.runner import OnStep, RunSummary
from carrental_mlops.core.step import StepConfig, named_outputs
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ConfigError, nearest
from carrental_mlops.integrations.mlflow import RegisteredModel, Registry, Tracker, find_run, tracking_uri
from carrental_mlops.orchestration.debug import digest_of
from carrental_mlops.orchestration.recipe import OUTPUTS, RECIPE, Recipe, recipe_of

_ALIASES = ("champion", "challenger")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was."""

    kind: str
    """package, python, lock, source, code, config, data or output."""
    name: str
    recorded: str | None
    now: str | None


@dataclass(frozen=True)
class Reproduction:
    """How a version compares with the one made now."""

    model: str
    version: str
    run_id: str
    seed: int
    recorded: str
    """`Model.digest` of the registered version."""
    now: str
    """`Model.digest` of the one made now."""
    differences: tuple[Difference, ...]
    """`config` says what crm.yaml holds now: the rerun took the recorded values."""

    @property
    def equal(self) -> bool:
        """True when both digests are the same."""
        return self.recorded == self.now


@dataclass(frozen=True)
class Recorded:
    """A registered version and what its run left."""

    model: RegisteredModel
    pipeline: str
    recipe: Recipe
    outputs: Mapping[str, Mapping[str, str]]
    """Slot to output to sha256; empty where the run was killed after it registered."""


def reproduce(repo: ModelRepo, model: str, on_step: OnStep = lambda slot, outcome: None) -> Reproduction:
    """The training behind a registered version, run again in process with its recorded config and seed.

    Args:
        repo: the model repo.
        model: `MODEL@VERSION`; the version may be `champion` or `challenger`.
        on_step: told before and after each step.

    Raises:
        ConfigError: no such model or version, nothing recorded about it, or today's steps refuse its config.
        PlatformError: MLflow cannot be reached.
        CrmError: a step failed.
    """
    past = recorded(repo, model)
    pipeline = repo.pipeline(past.pipeline)
    slot = _registering(pipeline)
    context = repo.context(past.recipe.env, past.recipe.seed)
    configs = _configs(pipeline, past)
    present = recipe_of(pipeline, repo.step_configs(pipeline), context)
    summary = run_in_process(pipeline, configs, context, on_step, until=slot)
    differs = [*_made_of(past.recipe, present), *_came_out(pipeline, past.outputs, summary)]
    return Reproduction(
        repo.config.service, past.model.version, past.model.run_id, past.recipe.seed,
        past.model.digest, summary.load(slot).digest, tuple(differs),
    )  # fmt: skip


def recorded(repo: ModelRepo, model: str) -> Recorded:
    """What the registry and MLflow hold about `MODEL@VERSION`.

    Raises:
        ConfigError: no such model or version, or its run left no recipe.
    """
    name, found, wanted = model.partition("@")
    service = repo.config.service
    if name != service or not found:
        raise ConfigError(f"`{model}` is no model of this repo: MODEL@VERSION of `{service}` is expected",
                          f"crm reproduce {service}@{wanted or 'champion'}")  # fmt: skip
    uri = tracking_uri(repo.root, repo.config.mlflow.tracking_uri)
    registered = _version(Registry(uri, service), wanted)
    record = find_run(uri, service, registered.run_id)
    tracker = Tracker(uri, service, registered.run_id)
    recipe = tracker.document(RECIPE)
    if recipe is None:
        raise ConfigError(f"{model}: its run {registered.run_id} left no recipe", "train again: crm run training")
    return Recorded(registered, record.pipeline, Recipe(**recipe), tracker.document(OUTPUTS) or {})


def _version(registry: Registry, wanted: str) -> RegisteredModel:
    if wanted in _ALIASES:
        found = registry.champion() if wanted == "champion" else registry.challenger()
        if found is not None:
            return found
    known = {m.version: m for m in registry.versions()}
    if wanted not in known:
        fix = nearest(wanted, known) if known else "crm run training"
        raise ConfigError(f"model {registry.service} has no version `{wanted}`", fix)
    return known[wanted]


def _registering(pipeline: type[Pipeline]) -> str:
    from carrental_mlops.steps import RegisterStep

    found = [slot for slot, cls in pipeline.slots().items() if issubclass(cls, RegisterStep)]
    if not found:
        raise ConfigError(f"pipeline `{pipeline.name}` has no step that registers a model", "add step(RegisterStep)")
    return found[0]


def _configs(pipeline: type[Pipeline], past: Recorded) -> dict[str, StepConfig]:
    made = {}
    for slot, cls in pipeline.slots().items():
        try:
            made[slot] = cls.config_model().model_validate(past.recipe.config.get(slot, {}))
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(map(str, first["loc"]))
            commit = past.recipe.source.get("git_commit", "of the run")
            raise ConfigError(
                f"steps.{slot}.{at} as recorded by {past.model.run_id} is refused today: {first['msg']}",
                f"go back to the code of then: git checkout {commit}",
            ) from error
    return made


def _made_of(past: Recipe, now: Recipe) -> Iterator[Difference]:
    yield from _unequal("python", {"version": past.python}, {"version": now.python})
    yield from _unequal("package", past.packages, now.packages)
    yield from _unequal("lock", past.lock, now.lock)
    yield from _unequal("source", past.source, now.source)
    yield from _unequal("code", past.code, now.code)
    yield from _unequal("config", _flat(past.config), _flat(now.config))


def _came_out(
    pipeline: type[Pipeline], outputs: Mapping[str, Mapping[str, str]], summary: RunSummary
) -> Iterator[Difference]:
    """The data that was read, and the first step after it whose answer differs."""
    changing = _changing(pipeline)
    for outcome in summary.steps:
        cls = pipeline.slots()[outcome.slot]
        if outcome.slot not in outputs or outcome.slot in changing:
            continue
        names, values = cls.outputs(), named_outputs(cls, summary.load(outcome.slot))
        found = {n: digest_of(names[n], value) for n, value in values.items()}
        kind = "output" if cls.inputs() else "data"
        differs = list(_unequal(kind, _below(outcome.slot, outputs[outcome.slot]), _below(outcome.slot, found)))
        yield from differs
        if differs and kind == "output":
            return


def _changing(pipeline: type[Pipeline]) -> set[str]:
    """Slots that read what lies outside the run, such as today's champion, and all that follows from them."""
    slots, found = pipeline.slots(), set[str]()
    for slot, inputs in trace(pipeline).calls.items():
        if not slots[slot].cacheable or found & {ref.step for ref in inputs.values()}:
            found.add(slot)
    return found


def _unequal(kind: str, past: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*past, *now}):
        if past.get(name) != now.get(name):
            yield Difference(kind, name, _text(past.get(name)), _text(now.get(name)))


def _flat(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"steps.{slot}.{key}": value for slot, values in config.items() for key, value in values.items()}


def _below(slot: str, digests: Mapping[str, str]) -> dict[str, str]:
    return {f"{slot}.{name}": digest for name, digest in digests.items()}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
