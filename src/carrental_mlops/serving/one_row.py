"""A request of one row, checked with little of pydantic and with its verdict: numbers within bounds need none of it."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

_MOST = {float: (-sys.float_info.max, sys.float_info.max), int: (-(2**63), 2**63 - 1)}
_ABSENT = (None,)


@dataclass(frozen=True)
class Number:
    """A field that wants a number within bounds and nothing else."""

    name: str
    kind: type[float] | type[int]
    nullable: bool
    """Whether it may be null."""
    required: bool
    low: float
    """Inclusive, as is `high`."""
    high: float


class Numbers:
    """Several such fields.

    Args:
        fields: in the order of their numbers.
    """

    def __init__(self, fields: tuple[Number, ...]) -> None:
        self._fields, self.names = fields, tuple(field.name for field in fields)
        self._kinds = [field.kind for field in fields]
        self._lows, self._highs = [field.low for field in fields], [field.high for field in fields]

    def held(self, columns: Mapping[str, Any]) -> tuple[list[float], Mapping[str, Sequence[Any]]] | None:
        """A row that pydantic accepts: a number for each field, NaN where there is none, and the values that were sent.

        Args:
            columns: field to its one value, in a list.

        Returns:
            None where pydantic must say, which also accepts texts that hold a number.
        """
        row: list[Any] = [columns.get(name, _ABSENT)[0] for name in self.names]
        if list(map(type, row)) == self._kinds:
            if all(map(operator.le, self._lows, row)) and all(map(operator.le, row, self._highs)):  # never of NaN
                known = len(columns) == len(row)
                return row, columns if known else {name: columns[name] for name in self.names}
            return None
        numbers: list[float] = []
        sent: dict[str, Sequence[Any]] = {}
        for field, value in zip(self._fields, row, strict=True):
            if value is None:
                if not (field.nullable if field.name in columns else not field.required):
                    return None
                numbers.append(math.nan)
            else:
                if type(value) is int and field.kind is float and abs(value) < 2**53:
                    value = float(value)
                if type(value) is not field.kind or not field.low <= value <= field.high:
                    return None
                numbers.append(value)
            if field.name in columns:
                sent[field.name] = [value]
        return numbers, sent


def number_of(name: str, info: FieldInfo, plain: Any) -> Number | None:
    """What `info` asks for; None where that is more than a number within bounds.

    Args:
        name: of the field.
        info: pydantic's.
        plain: its type without None.
    """
    if plain not in _MOST:
        return None
    low, high = _MOST[plain]
    for rule in info.metadata:
        limit: Any = getattr(rule, type(rule).__name__.lower(), None)
        if type(rule) not in _RULES or type(limit) not in (int, float) or not math.isfinite(limit):
            return None
        least, most = _RULES[type(rule)](limit, plain is float)
        low, high = max(low, least), min(high, most)
    return Number(name, plain, info.annotation is not plain, info.is_required(), low, high)


_RULES: dict[type, Any] = {
    Ge: lambda limit, real: (limit, math.inf),
    Le: lambda limit, real: (-math.inf, limit),
    Gt: lambda limit, real: (math.nextafter(limit, math.inf) if real else math.floor(limit) + 1, math.inf),
    Lt: lambda limit, real: (-math.inf, math.nextafter(limit, -math.inf) if real else math.ceil(limit) - 1),
}
"""Kind of bound to the inclusive bounds that say the same of a float (`real`) or of an int."""
