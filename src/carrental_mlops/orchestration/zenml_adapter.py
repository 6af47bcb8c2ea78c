"""A team's plain function or ZenML `@step` as a step that fills a slot."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, final, get_args, get_origin, get_type_hints

from carrental_mlops.core.step import Step, StepConfig
from carrental_mlops.errors import ContractError
from carrental_mlops.orchestration.importable import attribute_for, defined_at

_PREFIX = "A_"
_PARAMETERS = (bool, int, float, str)


def __getattr__(name: str) -> Any:
    """The step that `name` encodes, rebuilt in another process from the team's module."""
    return from_zenml(defined_at(_PREFIX, name))


def from_zenml(step_or_function: Any) -> type[Step]:
    """A step class around a team's own function or ZenML `@step`: `clean = step(from_zenml(clean_rows))`.

    Its artefacts are the parameters without a default; parameters with a plain default (bool, int, float, str)
    become the step's config and are set in `crm.yaml`.

    Raises:
        ContractError: a parameter or the answer has no type, or the function stands inside another.
    """
    return _adapted(_function(step_or_function))


@functools.cache
def _adapted(function: Callable[..., Any]) -> type[Step]:
    name = f"{function.__module__}.{function.__qualname__}"
    if "<locals>" in function.__qualname__:
        raise ContractError(f"{name} is defined inside a function", "move it to the top of its module")
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    for wanted in [*parameters, "return"]:
        if wanted not in hints:
            raise ContractError(f"{name}: `{wanted}` has no type", "annotate every parameter and the answer")
    settings = {n for n, p in parameters.items() if isinstance(p.default, _PARAMETERS)}
    answer = _answer(function.__name__, hints["return"])

    def run(self: Any, **inputs: Any) -> Any:
        result = function(**inputs, **{n: getattr(self.config, n) for n in settings})
        return answer(*result) if hasattr(answer, "_fields") else result

    run.__annotations__ = {n: hints[n] for n in parameters if n not in settings} | {"return": answer}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(
                inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=p.default, annotation=hints[n])
                for n, p in parameters.items()
                if n not in settings
            ),
        ],
        return_annotation=answer,
    )
    body = {
        "__module__": __name__,
        "__qualname__": attribute_for(_PREFIX, function),
        "__doc__": function.__doc__,
        "__annotations__": {
            "config": _config(function.__name__, {n: (hints[n], parameters[n].default) for n in settings})
        },
        "run": final(run),
    }
    return types.new_class(function.__name__, (Step,), exec_body=lambda space: space.update(body))


def _function(given: Any) -> Callable[..., Any]:
    inner = getattr(given, "entrypoint", None)
    if inner is not None and inspect.isfunction(inner):
        return inner
    if inspect.isfunction(given):
        return given
    raise ContractError(f"{given!r} is neither a function nor a ZenML @step", "pass the function itself")


def _answer(name: str, declared: Any) -> Any:
    """A NamedTuple for `Tuple[Annotated[X, "a"], Annotated[Y, "b"]]`, else the type itself."""
    parts = get_args(declared)
    if get_origin(declared) is Annotated:
        return parts[0]
    if get_origin(declared) is tuple and parts and all(get_origin(p) is Annotated for p in parts):
        return NamedTuple(f"{name}_outputs", [(_label(p), get_args(p)[0]) for p in parts])
    return declared


def _label(part: Any) -> str:
    return next(str(a if isinstance(a, str) else a.name) for a in get_args(part)[1:])


def _config(name: str, fields: dict[str, Any]) -> type[StepConfig]:
    from pydantic import create_model

    return (
        typing.cast("type[StepConfig]", create_model(f"{name}_config", __base__=StepConfig, **fields))
        if fields
        else StepConfig
    )
