"""A team's steps and pipelines, held against what every engine needs of them."""

from __future__ import annotations

import importlib

from pydantic import ValidationError

from carrental_mlops.core import Pipeline, Step
from carrental_mlops.core.hook import where
from carrental_mlops.core.wiring import trace
from carrental_mlops.errors import ContractError


def check_step(cls: type[Step]) -> None:
    """Hold one step: found by import, types that can be read, settings described and equal after a trip through JSON.

    Overrides and the shape of `run` were held when the class was made.

    Raises:
        ContractError: names the class, its file and line, and the mend.
        OverrideError: an annotation cannot be read.
    """
    at = f"`{cls.__name__}` ({where(cls)})"
    _check_importable(cls, at)
    if getattr(cls, "run", None) is None:
        raise ContractError(f"{at} has no `run`", "subclass a default step, or write @final def run(self, *, …)")
    cls.inputs()
    cls.outputs()
    _check_config(cls, at)


def check_pipeline(cls: type[Pipeline]) -> None:
    """Hold one pipeline: named, found by import, wired; and each of its steps as `check_step` does.

    Raises:
        ContractError: names the class, its file and line, and the mend.
        WiringError: `build` connects what does not fit.
    """
    at = f"`{cls.__name__}` ({where(cls)})"
    _check_importable(cls, at)
    if not cls.name:
        raise ContractError(f"{at} has no name", 'add name = "training"; crm run finds it by that')
    trace(cls)
    for step in cls.slots().values():
        check_step(step)


def _check_importable(cls: type, at: str) -> None:
    found = getattr(importlib.import_module(cls.__module__), cls.__qualname__, None)
    if found is not cls:
        raise ContractError(
            f"{at} cannot be imported as {cls.__module__}.{cls.__qualname__}", "move it to the top of a module"
        )


def _check_config(cls: type[Step], at: str) -> None:
    model = cls.config_model()
    bare = [name for name, field in model.model_fields.items() if not field.description and name != "columns"]
    if bare:
        fix = 'write a docstring under each: """Most trees."""; crm config explain prints it'
        raise ContractError(f"{at}: {model.__name__} does not describe {', '.join(bare)}", fix)
    try:
        config = model()
    except ValidationError:
        return  # a setting without a default: crm.yaml must give it
    if model.model_validate_json(config.model_dump_json()) != config:
        fix = "use plain values, tuples and frozen models"
        raise ContractError(f"{at}: {model.__name__} is not the same after a trip through JSON", fix)
