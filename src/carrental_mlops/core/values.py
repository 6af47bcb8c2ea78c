"""Plain values as text that is equal for equal values, in any process and any folder."""

from __future__ import annotations

import datetime
import decimal
import enum
import hashlib
import re
import sys
import types
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

Token = Callable[[Any], str]

_LITERAL = (bool, int, float, complex, bytes, types.NoneType, types.EllipsisType, range, decimal.Decimal, uuid.UUID)
_DATES = (datetime.date, datetime.time, datetime.timedelta, datetime.timezone)


def plain_token(value: Any, token: Token, packages: set[str]) -> str | None:
    """The text of `value`, or None where it is neither plain data nor a container of it.

    Args:
        value: anything.
        token: what to ask about the elements of a container.
        packages: first-party packages; a path into the folder that holds one is written relative to it.
    """
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, str | PurePath):
        return f"{'path' if isinstance(value, PurePath) else 'str'} {_relative(str(value), packages)!r}"
    if isinstance(value, _LITERAL + _DATES):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!r} {value.flags}"
    if type(value) in (list, tuple):
        return f"{type(value).__name__} [{', '.join(token(v) for v in value)}]"
    if isinstance(value, set | frozenset):
        return f"set [{', '.join(sorted(token(v) for v in value))}]"
    if type(value) in (dict, types.MappingProxyType):
        return _pairs(value, token)
    return _numbers(value)


def _pairs(value: Mapping[Any, Any], token: Token) -> str:
    return f"dict [{', '.join(sorted(f'{token(k)}: {token(v)}' for k, v in list(value.items())))}]"


def _numbers(value: Any) -> str | None:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy and isinstance(value, numpy.ndarray | numpy.generic):
        data = repr(value.tolist()).encode() if value.dtype.hasobject else value.tobytes()
        return f"array {value.dtype.str} {value.shape} {hashlib.sha256(data).hexdigest()}"
    if pandas and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index):
        table = value if isinstance(value, pandas.DataFrame) else value.to_frame()
        rows = pandas.util.hash_pandas_object(table).to_numpy().tobytes()
        return f"table {[(str(n), str(t)) for n, t in table.dtypes.items()]} {hashlib.sha256(rows).hexdigest()}"
    return None


def _relative(text: str, packages: set[str]) -> str:
    """`text` without the folder of this machine, where it begins with that of a first-party package."""
    if not text.startswith(("/", "\\")) and text[1:2] != ":":
        return text
    for name in sorted(packages):
        file = getattr(sys.modules.get(name), "__file__", None)
        if not file:
            continue
        home = Path(file).resolve().parent
        for up, folder in enumerate((home, home.parent, *([home.parent.parent] if home.parent.name == "src" else []))):
            if text == str(folder) or text.startswith(f"{folder}/"):
                return f"<{name}-{up}>{text.removeprefix(str(folder))}"
    return text
