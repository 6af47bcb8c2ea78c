"""What a module makes of a team's classes and functions, as attributes that another process can ask it for by name."""

from __future__ import annotations

import importlib
from typing import Any

_AT, _DOT = "__at__", "__dot__"


def attribute_for(prefix: str, thing: Any) -> str:
    """A Python name, beginning with `prefix`, that says where the class or function `thing` is defined."""
    return f"{prefix}{thing.__module__.replace('.', _DOT)}{_AT}{thing.__qualname__.replace('.', _DOT)}"


def defined_at(prefix: str, attribute: str) -> Any:
    """The class or function that `attribute_for` named; its module is imported.

    Raises:
        AttributeError: `attribute` is no such name, as a module's `__getattr__` has to say it.
    """
    if not attribute.startswith(prefix) or _AT not in attribute:
        raise AttributeError(attribute)
    module, path = attribute.removeprefix(prefix).split(_AT, 1)
    found: Any = importlib.import_module(module.replace(_DOT, "."))
    for part in path.split(_DOT):
        found = getattr(found, part)
    return found
