"""Which hooks a model repo overrides, and where."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.core.guarded import Guarded
from carrental_mlops.core.hook import definitions, hooks_of, where
from carrental_mlops.core.repo import ModelRepo


@dataclass(frozen=True)
class Override:
    """One hook that a class of the repo answers in its own way."""

    hook: str
    cls: str
    """Name of the repo's class."""
    bases: tuple[str, ...]
    """Names of the classes that it derives from, nearest first."""
    place: str
    """`file:line` of the method, the file relative to the repo."""
    slots: tuple[str, ...]
    """`pipeline.slot` of each slot that the class fills; empty for what is no step, and for a step that is unused."""


def overrides(repo: ModelRepo) -> list[Override]:
    """Every override in the repo's own modules that its `pipelines.py` reaches, by class and hook.

    Raises:
        CrmError: the repo's pipelines cannot be imported.
    """
    used: dict[type, list[str]] = {}
    for name, pipeline in repo.pipelines().items():
        for slot, cls in pipeline.slots().items():
            used.setdefault(cls, []).append(f"{name}.{slot}")
    return [
        Override(hook, cls.__name__, tuple(base.__name__ for base in cls.__mro__[1:]), place, tuple(used.get(cls, ())))
        for cls in _classes(repo)
        for hook, place in _overridden(repo, cls)
    ]


def _classes(repo: ModelRepo) -> list[type]:
    """Guarded classes that the repo's loaded modules define."""
    package = repo.config.package
    modules = [m for name, m in sys.modules.items() if name == package or name.startswith(f"{package}.")]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Guarded) and value.__module__ == module.__name__
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__qualname__))


def _overridden(repo: ModelRepo, cls: type) -> Iterator[tuple[str, str]]:
    sdk = __name__.partition(".")[0]
    for name, spec in hooks_of(cls).items():
        owner, method = next(definitions(cls, name))
        if method is not spec.default and owner.__module__.partition(".")[0] != sdk:
            file, _, line = where(method).rpartition(":")
            path = Path(file).resolve() if file else Path()
            inside = path.is_relative_to(repo.root)
            yield name, f"{path.relative_to(repo.root) if inside else file}:{line}"
