"""Our step classes as genuine ZenML steps, importable by name in any process."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from carrental_mlops.core.fingerprint import fingerprint
from carrental_mlops.core.step import Step, StepConfig
from carrental_mlops.errors import ConfigError, ContractError
from carrental_mlops.orchestration.importable import attribute_for, defined_at

_PREFIX = "S_"
METRICS = "crm.metrics"
"""Name of the step-run metadata that holds what a step measured."""


def __getattr__(name: str) -> Any:
    """The ZenML step that `name` encodes: ZenML imports steps by module and attribute."""
    return zen_class(defined_at(_PREFIX, name))


def encoded(cls: type) -> str:
    """The attribute of this module that rebuilds the ZenML step of `cls`.

    Raises:
        ContractError: `cls` stands inside a function, where no other process can import it.
    """
    if "<locals>" in cls.__qualname__:
        raise ContractError(
            f"step `{cls.__qualname__}` is defined inside a function", "move the class to the top of its module"
        )
    return attribute_for(_PREFIX, cls)


@functools.cache
def zen_class(cls: type[Step]) -> Any:
    """The ZenML step class that runs `cls`, with `config` as a JSON parameter."""
    from zenml.config.source import Source, SourceType
    from zenml.steps import BaseStep

    outputs = cls.outputs()

    def entrypoint(self: Any, **given: Any) -> Any:
        from carrental_mlops.orchestration.zenml_context import run_step

        result = run_step(cls, given.pop("config"), given)
        return tuple(result) if len(outputs) > 1 else result

    entrypoint.__doc__ = cls.__doc__
    entrypoint.__signature__ = _signature(cls)  # type: ignore[attr-defined]
    entrypoint.__wrapped__ = _returns_several if len(outputs) > 1 else _returns_one  # type: ignore[attr-defined]
    return type(
        cls.__name__,
        (BaseStep,),
        {
            "__module__": __name__,
            "__doc__": cls.__doc__,
            "entrypoint": entrypoint,
            "crm_step": cls,
            "crm_key": "",
            "source_code": property(lambda self: _source(cls)),
            "source_code_cache_value": property(lambda self: self.crm_key or fingerprint(cls)),
            "resolve": lambda self: Source(module=__name__, attribute=encoded(cls), type=SourceType.UNKNOWN),
        },
    )


def zen_step(
    cls: type[Step], name: str, config: StepConfig, *, seed: int, root: Path, options: Mapping[str, Any]
) -> Any:
    """A ZenML step ready to be called in a pipeline.

    Args:
        cls: the step.
        name: of the step in the pipeline.
        config: part of the cache key.
        seed: part of the cache key.
        root: the model repo; what the config reads from outside the run is looked for there.
        options: further arguments of ZenML's step: `retry`, `settings`, `enable_cache`.

    Raises:
        ContractError: an output has a type that nothing but pickle could keep.
    """
    from carrental_mlops.orchestration.materializers import materializer_for

    encoded(cls)
    keepers = {n: materializer_for(t, f"{cls.__name__}.run -> {n}") for n, t in cls.outputs().items()}
    kept = {"enable_artifact_visualization": False, "enable_step_logs": False, **options}
    if not cls.cacheable:
        kept["enable_cache"] = False
    if keepers:
        kept["output_materializers"] = keepers
    made = zen_class(cls)(name=name, **kept)
    made.crm_key = fingerprint(cls, config, {"seed": str(seed), "outside": config.outside(root)})
    return made


def repo_here() -> Path:
    """The model repo around the working folder, else the working folder."""
    from carrental_mlops.config import find_repo

    with suppress(ConfigError):
        return find_repo()
    return Path.cwd()


def as_step(cls: type[Step], config: StepConfig | None = None, *, name: str | None = None, seed: int = 0) -> Any:
    """A genuine ZenML step for a team's own `@pipeline`; call it with the artefacts that `run` takes.

    Returns:
        A callable; what it returns are ZenML artefacts, a NamedTuple of them for several outputs.

    Raises:
        ContractError: an output has a type that nothing but pickle could keep.
    """
    values = config if config is not None else cls.config_model()()
    made = zen_step(cls, name or cls.__name__, values, seed=seed, root=repo_here(), options={})

    def connect(**inputs: Any) -> Any:
        return named(cls, made(**inputs, config=values.model_dump(mode="json")))

    return connect


def named(cls: type[Step], artefacts: Any) -> Any:
    """ZenML's answer to a call of the step of `cls`, as `build` reads it: by name where there are several."""
    from collections import namedtuple

    names = list(cls.outputs())
    return artefacts if len(names) < 2 else namedtuple("Outputs", names)(*artefacts)


class ZenSlot:
    """What `build` sees of a slot while ZenML collects the steps."""

    def __init__(self, cls: type[Step], config: StepConfig, step: Any) -> None:
        self._cls, self._config, self._step = cls, config, step

    def run(self, **inputs: Any) -> Any:
        """ZenML artefacts in, ZenML artefacts out."""
        return named(self._cls, self._step(**inputs, config=self._config.model_dump(mode="json")))


class LeftOut:
    """A slot that a partial run does not need."""

    def __init__(self, cls: type[Step]) -> None:
        self._cls = cls

    def run(self, **inputs: Any) -> Any:
        """Nothing, by name where there are several."""
        names = list(self._cls.outputs())
        return named(self._cls, [None] * len(names)) if len(names) > 1 else None


def _signature(cls: type[Step]) -> inspect.Signature:
    """Inputs as `Any`, so that ZenML loads each as the type that was saved; outputs by name and type."""
    from carrental_mlops.orchestration.kept import stripped

    kind, needed_ = inspect.Parameter.POSITIONAL_OR_KEYWORD, cls.required()
    required = [inspect.Parameter(n, kind, annotation=Any) for n in cls.inputs() if n in needed_]
    optional = [inspect.Parameter(n, kind, annotation=Any, default=None) for n in cls.inputs() if n not in needed_]
    fixed = [inspect.Parameter("self", kind), *required, inspect.Parameter("config", kind, annotation=dict)]
    outputs = {n: stripped(t) for n, t in cls.outputs().items()}
    answer: Any = None
    if len(outputs) == 1:
        answer = next(iter(outputs.values()))
    elif outputs:
        answer = tuple[tuple(Annotated[t, n] for n, t in outputs.items())]  # type: ignore[misc]
    return inspect.Signature([*fixed, *optional], return_annotation=answer)


def _returns_several(self: Any) -> Any:
    return 1, 2


def _returns_one(self: Any) -> Any:
    return 1


@functools.cache
def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return cls.__qualname__
