"""A key that changes when, and only when, what a step would compute may change.

It covers the class chain, the first-party code and values that the chain reaches, the config and the inputs.
First-party is the team's package and `carrental_mlops` without its engine (core, config, errors). Code counts by its
syntax tree without comments, docstrings and positions, and by its bytecode where the source is not what was loaded.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import inspect
import sys
import types
from collections.abc import Mapping
from functools import partial
from typing import Any

from carrental_mlops.core.source import class_text, code_text, names_in, references
from carrental_mlops.core.step import StepConfig
from carrental_mlops.core.values import plain_token

_SDK = "carrental_mlops"
_ENGINE = tuple(f"{_SDK}.{room}" for room in ("core", "config", "errors", "orchestration"))
_CHANGEABLE = (dict, list, set)
"""What another package may fill while it runs: such a value counts by its name."""
_INTERPRETER = (sys.modules, sys.path, sys.path_hooks, sys.meta_path, sys.path_importer_cache)
_WRAPPED = ("__wrapped__", "fget", "fset", "fdel", "func", "__func__")


def fingerprint(cls: type, config: StepConfig | None = None, inputs: Mapping[str, str] | None = None) -> str:
    """64 hex digits; equal for equal code, config and inputs, in any folder and under any hash seed.

    Args:
        cls: the class that would run.
        config: its values.
        inputs: name to digest of the content of each input.
    """
    reach = _reach_of(cls)
    given = reach.token(config.model_dump() if config is not None else None)
    lines = [*sorted(reach.records), f"config {given}", *(f"input {k} {v}" for k, v in sorted((inputs or {}).items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def reached(cls: type) -> dict[str, str]:
    """What `fingerprint` covers of the code of `cls`: `module:qualname` of each definition, to a digest of it."""
    return dict(line.rsplit(" ", 1) for line in _reach_of(cls).records)


def _reach_of(cls: type) -> _Reach:
    reach = _Reach({_SDK, *(base.__module__.partition(".")[0] for base in cls.__mro__ if base is not object)})
    reach.token(cls)
    return reach


class _Reach:
    """Everything first-party that can be reached from what `token` is asked about."""

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages - {"builtins", "abc", "typing"}
        self.records: list[str] = []
        self._seen: dict[int, str] = {}
        self._kept: list[Any] = []
        self._count: dict[str, int] = {}

    def token(self, value: Any) -> str:
        """What stands for `value`; what it reaches is recorded once."""
        if any(value is state for state in _INTERPRETER):
            return "state of the interpreter"
        plain = plain_token(value, self.token, self.packages)
        if plain is not None:
            return plain
        if id(value) in self._seen:
            return self._seen[id(value)]
        if isinstance(value, types.FunctionType | type | types.ModuleType):
            return self._definition(value)
        return self._object(value)

    def _ours(self, module: str | None) -> bool:
        name = module or ""
        return name.partition(".")[0] in self.packages and not any(
            name == e or name.startswith(f"{e}.") for e in _ENGINE
        )

    def _note(self, value: Any, name: str) -> str:
        number = self._count[name] = self._count.get(name, -1) + 1
        self._seen[id(value)] = f"{name}#{number}" if number else name
        self._kept.append(value)  # an id stays taken while its object lives
        return self._seen[id(value)]

    def _record(self, name: str, parts: list[str]) -> None:
        self.records.append(f"{name} " + hashlib.sha256("\n".join(parts).encode()).hexdigest())

    def _definition(self, value: Any) -> str:
        if isinstance(value, types.ModuleType):
            name, ours = f"module {value.__name__}", self._ours(value.__name__)
        else:
            name, ours = f"{value.__module__}:{value.__qualname__}", self._ours(value.__module__)
        token = self._note(value, name)
        if ours and isinstance(value, types.FunctionType):
            self._record(token, self._function(value))
        elif ours and isinstance(value, type):
            self._record(token, self._class(value))
        elif ours:
            public = {k: v for k, v in vars(value).items() if not k.startswith("__")}
            self._record(token, [f"{k} {self.token(v)}" for k, v in sorted(public.items())])
        return token

    def _class(self, cls: type) -> list[str]:
        text, names = class_text(cls)
        scope = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        parts = [text, *(f"base {self.token(base)}" for base in cls.__mro__[1:] if base is not object)]
        parts += [f"name {n} {self.token(scope[n])}" for n in sorted(names & scope.keys()) if scope[n] is not cls]
        for name, value in sorted(vars(cls).items()):
            generated = name.startswith(("__pydantic", "model_", "_abc_", "__match_args__", "__dataclass"))
            behaviour = isinstance(value, types.FunctionType | classmethod | staticmethod | property)
            if not generated and (behaviour or not (name.startswith("__") and name.endswith("__"))):
                parts.append(f"{name} {self.token(value)}")
        return parts

    def _function(self, function: types.FunctionType) -> list[str]:
        code = function.__code__
        parts = [code_text(code)]
        parts += [f"default {self.token(v)}" for v in function.__defaults__ or ()]
        parts += [f"default {k} {self.token(v)}" for k, v in sorted((function.__kwdefaults__ or {}).items())]
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        free = {name: cell.cell_contents for name, cell in cells.items() if not _is_empty(cell)}
        parts += [f"cell {k} {self.token(v)}" for k, v in sorted(free.items()) if k != "__class__"]
        scope = {**vars(builtins), **function.__globals__, **free}
        for chain in sorted(references(code)):
            parts.append(f"name {'.'.join(chain)} {self._chain(scope, chain)}")
        for module, name in sorted(names_in(code, function.__globals__.get("__package__") or "")):
            parts.append(f"import {module} {name} {self._imported(module, name)}")
        inner = getattr(function, "__wrapped__", None)
        return [*parts, f"wraps {self.token(inner)}"] if inner is not None else parts

    def _chain(self, scope: Mapping[str, Any], chain: tuple[str, ...]) -> str:
        """What `module.part.function` in a function's code stands for."""
        if chain[0] not in scope:
            return "?"
        value, ours = scope[chain[0]], True
        for name in chain[1:]:
            if not isinstance(value, types.ModuleType) or not hasattr(value, name):
                break
            value, ours = getattr(value, name), self._ours(value.__name__)
        return self.token(value) if ours or type(value) not in _CHANGEABLE else f"state {'.'.join(chain)}"

    def _imported(self, module: str, name: str) -> str:
        if not self._ours(module):
            return "other"
        found = importlib.import_module(module)
        if not name:
            return self.token(found)
        if not hasattr(found, name):
            return self.token(importlib.import_module(f"{module}.{name}"))
        return self.token(getattr(found, name))

    def _object(self, value: Any) -> str:
        """An instance: its class and, where the class is ours or wraps a function of ours, what it holds."""
        cls = type(value)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
        token = self._note(value, f"object {cls.__module__}:{cls.__qualname__} {name if isinstance(name, str) else ''}")
        held = {name: part for name in _WRAPPED if (part := inspect.getattr_static(value, name, None)) is not None}
        if isinstance(value, partial):
            held = {"func": value.func, "args": value.args, "keywords": value.keywords}
        elif isinstance(value, types.MethodType | classmethod | staticmethod):
            held = {"func": value.__func__, "self": getattr(value, "__self__", None)}
        elif isinstance(value, property):
            held = {"get": value.fget, "set": value.fset, "del": value.fdel}
        elif callable(getattr(value, "__wrapped__", None)):
            held = {"wrapped": value.__wrapped__}
        if self._ours(cls.__module__):
            held |= {"class": cls, **_state(value)}
        self._record(token, [f"{name} {self.token(part)}" for name, part in sorted(held.items())])
        return token


def _state(value: Any) -> dict[str, Any]:
    slots = {n for base in type(value).__mro__ for n in vars(base).get("__slots__", ()) if isinstance(n, str)}
    return {**{n: getattr(value, n) for n in sorted(slots) if hasattr(value, n)}, **getattr(value, "__dict__", {})}


def _is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading is the test
    except ValueError:
        return True
    return False
