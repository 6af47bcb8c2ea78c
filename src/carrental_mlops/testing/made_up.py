"""Rows made up from a declared schema, the same for the same seed; `strategies` says it for hypothesis."""

from __future__ import annotations

import enum
import math
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import annotated_types as at
import numpy as np
from pydantic import BaseModel, ValidationError

from carrental_mlops.errors import DataError
from carrental_mlops.testing.from_pattern import text_of

_WIDEST = 2**53
_FIRST, _LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FieldRange:
    """What a field of a row contract takes, as far as type and bounds say it."""

    name: str
    kind: Any
    """Type without None: int, float, bool, str, datetime, date, an Enum, or a Literal."""
    optional: bool
    """None is taken."""
    required: bool
    low: float | None = None
    """Least value that is taken (numbers)."""
    high: float | None = None
    step: float | None = None
    """Values are multiples of it."""
    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None

    def choices(self) -> list[Any] | None:
        """Every value, where they can be counted."""
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return [member.value for member in self.kind]
        if typing.get_origin(self.kind) is typing.Literal:
            return list(typing.get_args(self.kind))
        return [False, True] if self.kind is bool else None

    def ends(self) -> tuple[float, float]:
        """Least and greatest number to make up, the bounds where there are some."""
        low = -_WIDEST if self.low is None else self.low
        high = _WIDEST if self.high is None else self.high
        return low, high


def field_ranges(contract: type[BaseModel], without: Sequence[str] = ()) -> list[FieldRange]:
    """The fields of `contract` except `without`, in its order."""
    return [_range(n, info) for n, info in contract.model_fields.items() if n not in without]


def made_up_rows(
    contract: type[BaseModel], count: int, seed: int = 0, without: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """`count` rows that `contract` takes: values in the middle and at the bounds, and optional ones left None.

    Args:
        contract: the row contract.
        count: rows.
        seed: of the values.
        without: fields to leave out, such as the label.

    Raises:
        DataError: the contract has validators of its own that refuse nearly all; name what they want in the test.
    """
    random, fields = np.random.default_rng(seed), field_ranges(contract, without)
    found: list[dict[str, Any]] = []
    for _ in range(count * 50):
        row = {field.name: _value(random, field) for field in fields}
        if taken(contract, row, without):
            found.append(row)
        if len(found) == count:
            return found
    raise DataError(
        f"{len(found)} of {count} made-up rows fit `{contract.__name__}`: its own validators refuse the rest",
        "declare bounds on the fields, Field(ge=…, le=…), which rows are made from; or give rows: check_serving",
    )


def taken(contract: type[BaseModel], row: dict[str, Any], without: Sequence[str]) -> bool:
    """Whether `contract` takes `row`, but for the fields `without`, which it has not."""
    try:
        contract.model_validate(row)
    except ValidationError as error:
        return all(set(line["loc"]) & set(without) for line in error.errors())
    return True


def _range(name: str, info: Any) -> FieldRange:
    kind, optional, metadata = info.annotation, False, list(info.metadata)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(kind) if a is not type(None)]
        optional, kind = len(inner) < len(typing.get_args(kind)), inner[0]
    if typing.get_origin(kind) is typing.Annotated:
        metadata += kind.__metadata__
        kind = typing.get_args(kind)[0]
    return FieldRange(info.alias or name, kind, optional, info.is_required(), **dict(_bounds(kind, metadata)))


def _bounds(kind: Any, metadata: list[Any]) -> Iterator[tuple[str, Any]]:
    whole = kind is int
    for one in metadata:
        if isinstance(one, at.Interval | at.Len):
            yield from _bounds(kind, list(one))
        elif isinstance(one, at.Ge):
            yield "low", math.ceil(typing.cast(float, one.ge)) if whole else one.ge
        elif isinstance(one, at.Gt):
            gt = typing.cast(float, one.gt)
            yield "low", math.floor(gt) + 1 if whole else math.nextafter(gt, math.inf)
        elif isinstance(one, at.Le):
            yield "high", math.floor(typing.cast(float, one.le)) if whole else one.le
        elif isinstance(one, at.Lt):
            lt = typing.cast(float, one.lt)
            yield "high", math.ceil(lt) - 1 if whole else math.nextafter(lt, -math.inf)
        elif isinstance(one, at.MultipleOf):
            yield "step", one.multiple_of
        elif isinstance(one, at.MinLen):
            yield "min_length", one.min_length
        elif isinstance(one, at.MaxLen):
            yield "max_length", one.max_length
        elif getattr(one, "pattern", None):
            yield "pattern", one.pattern


def _value(random: np.random.Generator, field: FieldRange) -> Any:
    if field.optional and random.random() < 0.2:
        return None
    choices = field.choices()
    if choices is not None:
        return choices[int(random.integers(len(choices)))]
    if field.kind in (int, float):
        return _number(random, field)
    if field.kind in (datetime, date):
        moment = _FIRST + timedelta(seconds=int(random.integers(int((_LAST - _FIRST).total_seconds()))))
        return moment if field.kind is datetime else moment.date()
    return _text(random, field)


def _number(random: np.random.Generator, field: FieldRange) -> float | int:
    low, high = field.ends()
    kind = random.random()
    if field.low is not None and kind < 0.1:
        value = low
    elif field.high is not None and kind < 0.2:
        value = high
    elif field.low is not None and field.high is not None:
        value = low + (high - low) * random.random()
    else:
        value = min(max(float(random.lognormal(3.0, 2.0)) + (field.low or 0.0), low), high)
    if field.step:
        value = (
            math.ceil(low / field.step) * field.step if value < low + field.step else value // field.step * field.step
        )
    return int(value) if field.kind is int else float(value)


def _text(random: np.random.Generator, field: FieldRange) -> str:
    if field.pattern:
        return text_of(field.pattern, random)
    longest = field.max_length if field.max_length is not None else field.min_length + 12
    letters = list("abcdefghijklmnopqrstuvwxyzäß 0123456789-_'\"")
    return "".join(random.choice(letters, int(random.integers(field.min_length, longest + 1))))
