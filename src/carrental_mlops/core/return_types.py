"""Does a value fit the type that a hook declares? Cheap: containers are looked into, tables are not."""

from __future__ import annotations

import ast
import contextlib
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from carrental_mlops.config.type_text import type_text

_LOOK = 1000
"""Elements of a container that are looked at."""


def resolve_return(function: Callable[..., Any]) -> Any:
    """The return annotation of `function` as an object; a part that only a type checker knows becomes `Any`."""
    declared = getattr(function, "__annotations__", {}).get("return", Any)
    if not isinstance(declared, str):
        return declared
    names = {**vars(typing), **getattr(function, "__globals__", {})}
    try:
        return _resolve(ast.parse(declared, mode="eval").body, names)
    except SyntaxError:
        return Any


def _resolve(node: ast.expr, names: dict[str, Any]) -> Any:
    with contextlib.suppress(Exception):
        return eval(ast.unparse(node), names)  # noqa: S307 - an annotation of our own or of the team's class
    if isinstance(node, ast.BinOp):
        return typing.Union[_resolve(node.left, names), _resolve(node.right, names)]  # noqa: UP007 - built at run time
    if isinstance(node, ast.Subscript):
        base = _resolve(node.value, names)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        try:
            return base[tuple(_resolve(part, names) for part in parts)]
        except TypeError:
            return base
    return Any


def mismatch(value: Any, wanted: Any) -> str | None:
    """`returned a Series, not Sequence[str]`, or None when `value` fits `wanted`."""
    return None if _is(value, wanted) else f"returned {_described(value)}, not {type_text(wanted)}"


def _described(value: Any) -> str:
    inner = {_word(v) for v in islice(value, 3)} if isinstance(value, list | tuple) else set()
    return f"a {_word(value)}" + (f" of {', '.join(sorted(inner))}" if inner else "")


def _word(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _is(value: Any, wanted: Any) -> bool:
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, typing.NewType):
        return _is(value, wanted.__supertype__)
    if hasattr(origin or wanted, "__value__"):  # `type X = ...` of Python 3.12, such as NDArray of numpy 2.5
        return _is(value, origin.__value__[args] if origin else wanted.__value__)
    if wanted is None or wanted is type(None):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, arg) for arg in args)
    if origin is typing.Annotated:
        return _is(value, args[0])
    if origin is typing.Literal:
        return value in args
    if origin is type:
        return isinstance(value, type)
    if origin is tuple:
        return _is_tuple(value, args)
    plain = origin or wanted
    if not isinstance(plain, type) or plain in (object, Any):
        return True
    if not _is_instance(value, plain):
        return False
    return _elements_fit(value, plain, args)


def _is_instance(value: Any, plain: type) -> bool:
    if getattr(plain, "_is_protocol", False) and not getattr(plain, "_is_runtime_protocol", False):
        return True
    if plain is float:
        return isinstance(value, numbers.Real)
    if plain is int:
        return isinstance(value, numbers.Integral)
    if plain is bool:
        return type(value).__name__ in ("bool", "bool_")
    if plain in (Sequence, Iterable) and isinstance(value, str | bytes | Mapping):
        return False
    if plain is Sequence:
        return isinstance(value, Sequence) or (getattr(value, "ndim", 0) == 1 and hasattr(value, "__getitem__"))
    return isinstance(value, plain)


def _is_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(args) == 2 and args[1] is Ellipsis:
        return all(_is(v, args[0]) for v in value[:_LOOK])
    return not args or (len(value) == len(args) and all(map(_is, value, args)))


def _elements_fit(value: Any, plain: type, args: tuple[Any, ...]) -> bool:
    if plain.__name__ == "ndarray":
        dtype = typing.get_args(args[1]) if len(args) == 2 else ()
        wants_numbers = bool(dtype) and getattr(dtype[0], "__name__", "").startswith(("float", "int", "uint", "bool"))
        return not (wants_numbers and value.dtype.kind in "OUSmMV")
    if not args or not plain.__module__.startswith(("collections", "builtins")):
        return True
    if isinstance(value, Mapping):
        return len(args) != 2 or all(_is(k, args[0]) and _is(v, args[1]) for k, v in islice(value.items(), _LOOK))
    if isinstance(value, Sequence | set | frozenset) or getattr(value, "ndim", 0) == 1:
        return all(_is(v, args[0]) for v in islice(iter(value), _LOOK))
    return True
