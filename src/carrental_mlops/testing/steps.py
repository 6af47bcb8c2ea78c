"""A team's steps and pipelines, held against what every engine needs of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from carrental_mlops.core import Pipeline, Step
from carrental_mlops.core.fingerprint import fingerprint
from carrental_mlops.core.hook import where
from carrental_mlops.core.step import StepConfig
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ContractError
from carrental_mlops.orchestration.kept import form_of
from carrental_mlops.testing.cache_keys import key_checks
from carrental_mlops.testing.check import Check, hold_all

_SDK = "carrental_mlops."


def check_step(cls: type[Step], *, quick: bool = False) -> None:
    """Hold one step: each of `step_checks`.

    Overrides and the shape of `run` were held when the class was made. What only a run can show is held by
    `check_pipeline` with a repo.

    Args:
        cls: the class.
        quick: leave out what starts a process: that the cache key follows the code and not its layout.

    Raises:
        ContractError: names the class, its file and line, and the mend.
        OverrideError: an annotation cannot be read.
    """
    hold_all(step_checks(cls), quick)


def check_pipeline(cls: type[Pipeline], root: Path | None = None, *sets: str, quick: bool = False) -> None:
    """Hold one pipeline, each of its steps, and, with a repo, a rehearsal on its data: see `Rehearsal`.

    Args:
        cls: the class.
        root: the model repo; None for what can be held without data.
        sets: `steps.ingest.source=…`, as after `crm run --set`: name little data.
        quick: leave out what starts a process.

    Raises:
        ContractError: names the class, its file and line, and the mend.
        WiringError: `build` connects what does not fit.
        CrmError: with a repo: its configuration does not hold, or a step failed.
    """
    hold_all(pipeline_checks(cls), quick)
    if root is not None:
        from carrental_mlops.testing.rehearsal import Rehearsal

        hold_all(Rehearsal(cls, root, *sets).checks())


def step_checks(cls: type[Step]) -> list[Check]:
    """What is held of a step by its class alone."""
    at = f"`{cls.__name__}` ({where(cls)})"
    held: dict[str, Callable[[type[Step], str], None]] = {
        "can be imported by an engine": _check_importable,
        "has a `run` of known types": _check_run,
        "describes its settings": _check_described,
        "keeps its settings through a file": _check_kept,
        "hands its outputs on without pickle": _check_outputs,
        "has a cache key that follows its settings": _check_settings_in_key,
    }
    return [
        *(Check(cls.__name__, name, lambda hold=hold: hold(cls, at)) for name, hold in held.items()),  # type: ignore[misc]
        *key_checks(cls),
    ]


def pipeline_checks(cls: type[Pipeline]) -> list[Check]:
    """What is held of a pipeline by its class alone, then of each step of its own, once.

    Default steps are held by this package's own tests.
    """
    at = f"`{cls.__name__}` ({where(cls)})"
    held: dict[str, Callable[[type[Pipeline], str], object]] = {
        "can be imported by an engine": _check_importable,
        "has a name": _check_name,
        "is wired": lambda cls, _: trace(cls),
    }
    own = [Check(cls.__name__, name, lambda hold=hold: hold(cls, at)) for name, hold in held.items()]  # type: ignore[misc]
    steps = [step for step in dict.fromkeys(cls.slots().values()) if not step.__module__.startswith(_SDK)]
    return [*own, *(check for step in steps for check in step_checks(step))]


def _check_importable(cls: type, at: str) -> None:
    found = getattr(importlib.import_module(cls.__module__), cls.__qualname__, None)
    if found is not cls:
        raise ContractError(
            f"{at} cannot be imported as {cls.__module__}.{cls.__qualname__}", "move it to the top of a module"
        )


def _check_name(cls: type[Pipeline], at: str) -> None:
    if not cls.name:
        raise ContractError(f"{at} has no name", 'add name = "training"; crm run finds it by that')


def _check_run(cls: type[Step], at: str) -> None:
    if getattr(cls, "run", None) is None:
        raise ContractError(f"{at} has no `run`", "subclass a default step, or write @final def run(self, *, …)")
    cls.inputs()
    cls.outputs()


def _check_described(cls: type[Step], at: str) -> None:
    model = cls.config_model()
    bare = [name for name, field in model.model_fields.items() if not field.description and name != "columns"]
    if bare:
        fix = 'write a docstring under each: """Most trees."""; crm config explain prints it'
        raise ContractError(f"{at}: {model.__name__} does not describe {', '.join(bare)}", fix)


def _check_kept(cls: type[Step], at: str) -> None:
    config = _defaults(cls)
    if config is not None:
        hold_kept(config, at)


def hold_kept(config: BaseModel, at: str) -> None:
    """Hold that `config` is the same after a trip through YAML and one through JSON.

    Args:
        config: the values.
        at: the class and its place, for the message.

    Raises:
        ContractError: it is not; names the settings that differ.
    """
    model = type(config)
    trips: dict[str, Callable[[], BaseModel]] = {
        "YAML": lambda: model.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))),
        "JSON": lambda: model.model_validate_json(config.model_dump_json()),
    }
    for name, trip in trips.items():
        try:
            found = trip()
        except (ValidationError, ValueError, yaml.YAMLError) as error:
            said = f"cannot be read back: {str(error).splitlines()[0]}"
        else:
            differing = [n for n in model.model_fields if getattr(found, n) != getattr(config, n)]
            said = f"has another {', '.join(differing)} then" if differing else ""
        if said:
            fix = "use plain values, tuples and frozen models"
            raise ContractError(f"{at}: {model.__name__} is not the same after a trip through {name}: it {said}", fix)


def _check_outputs(cls: type[Step], at: str) -> None:
    for name, kind in cls.outputs().items():
        form_of(kind, f"{at}, output `{name}`")


def _check_settings_in_key(cls: type[Step], at: str) -> None:
    config = _defaults(cls)
    if config is None:
        return
    key = fingerprint(cls, config)
    if fingerprint(cls, config.model_copy(deep=True)) != key:
        fix = "keep plain values in settings, each equal to its copy"
        raise ContractError(f"{at} has another cache key for equal settings: no run would be served from it", fix)
    for name, other in _others(config):
        if fingerprint(cls, config.model_copy(update={name: other})) == key:
            what = f"{at} keeps its cache key when the setting `{name}` changes: a run would be served an old answer"
            raise ContractError(what, f"leave `{name}` in the dump: no exclude=True, no model_dump of its own")


def _others(config: StepConfig) -> Iterator[tuple[str, Any]]:
    """Each setting that is a plain value, with another value."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            yield name, value + 1
        elif isinstance(value, float):
            yield name, 0.25 if value != 0.25 else 0.75
        elif isinstance(value, str):
            yield name, f"{value}+"
        elif isinstance(value, tuple):
            yield name, (*value, "another")


def _defaults(cls: type[Step]) -> StepConfig | None:
    """The settings where none is given; None where crm.yaml must give one."""
    try:
        return cls.config_model()()
    except ValidationError:
        return None
