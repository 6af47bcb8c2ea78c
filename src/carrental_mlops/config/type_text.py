"""A type as a reader of crm.yaml would write it."""

from __future__ import annotations

import types
import typing
from typing import Any


def type_text(annotation: Any) -> str:
    """`dict[str, StepOptions]`, `float | None`, `Literal['flag', 'refuse']`: names without their modules."""
    if annotation in (None, types.NoneType, Ellipsis):
        return "..." if annotation is Ellipsis else "None"
    if isinstance(annotation, list | tuple):
        return f"[{', '.join(map(type_text, annotation))}]"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_text, arguments))
    name = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(type_text, arguments))}]" if arguments else str(name)
