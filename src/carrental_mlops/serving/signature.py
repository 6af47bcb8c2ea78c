"""What a request must hold: the fields of the repo's row contract, as the protocol names and checks them."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired, Required

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict

from carrental_mlops.core.arrays import Floats, Values
from carrental_mlops.data.row_contract import RowContract, has_own_validators
from carrental_mlops.serving.one_row import Numbers, number_of
from carrental_mlops.serving.refusal import Refusal

_NONE = (None,)
_DATATYPES = {float: "FP64", int: "INT64", bool: "BOOL", datetime: "BYTES", str: "BYTES"}


@dataclass(frozen=True)
class Field:
    """One field of a request."""

    name: str
    datatype: str
    """As Open Inference Protocol v2 writes it: FP64, INT64, BOOL, or BYTES for text and ISO 8601 date-times."""
    required: bool


class Signature:
    """The request of one service: its row contract, column by column.

    Args:
        contract: the repo's row contract.
        stored: stored features that the caller sends himself (FP64, each may be missing); empty where the service
            reads them from the online store.
        without: fields that no request has, such as the label.
    """

    def __init__(self, contract: type[RowContract], stored: Sequence[str] = (), without: Sequence[str] = ()) -> None:
        known = {name: info for name, info in contract.model_fields.items() if name not in without}
        plain = {name: _plain(info.annotation) for name, info in known.items()}
        self.fields = (
            *(Field(n, _DATATYPES.get(plain[n], "BYTES"), info.is_required()) for n, info in known.items()),
            *(Field(name, "FP64", False) for name in stored),
        )
        self.names = tuple(field.name for field in self.fields)
        self._dated = tuple(name for name, kind in plain.items() if kind is datetime)
        self._numeric = tuple(f.name for f in self.fields if f.datatype != "BYTES")
        self._optional = tuple(
            f.name for f in self.fields if not f.required and (f.datatype != "BYTES" or f.name in self._dated)
        )
        columns = {n: _column(info, info.is_required()) for n, info in known.items()}
        columns |= {name: NotRequired[list[float | None]] for name in stored}
        typed: Any = TypedDict("Columns", columns)  # type: ignore[misc]
        config = ConfigDict(allow_inf_nan=False, extra="ignore")
        self._validate: Callable[[Any], Any] = TypeAdapter(with_config(config)(typed)).validator.validate_python
        simple = [number_of(n, info, plain[n]) for n, info in known.items()]
        simple += [number_of(n, FieldInfo(annotation=float | None, default=None), float) for n in stored]  # type: ignore[arg-type]
        self._numbers = Numbers(tuple(number for number in simple if number))
        rest = {name: kind for name, kind in columns.items() if name not in self._numbers.names}
        self._others = frozenset(rest)
        typed = TypedDict("Others", rest)  # type: ignore[misc, no-redef]
        self._validate_others: Callable[[Any], Any] = TypeAdapter(with_config(config)(typed)).validator.validate_python
        own = has_own_validators(contract)
        self._row_wise = TypeAdapter(list[contract]).validate_python if own else None  # type: ignore[valid-type]

    def check(self, columns: Mapping[str, Values], rows: int) -> tuple[dict[str, Floats], Mapping[str, Sequence[Any]]]:
        """The request as numbers, and as the values that the contract made of it.

        Args:
            columns: field to `rows` values; fields that the signature does not name are left alone.
            rows: how many.

        Returns:
            (n,) float64 of each numeric and date-time field that was sent (missing NaN, date-times as seconds since
            1970-01-01 UTC), and the values of every field that was sent.

        Raises:
            Refusal: 422, naming the field.
        """
        swift = self._one_row(columns) if rows == 1 and self._row_wise is None else None
        if swift is not None:
            return swift
        given = columns
        if any(type(column) is np.ndarray for column in columns.values()):
            given = {name: _listed(column) for name, column in columns.items()}
        try:
            values: dict[str, Sequence[Any]] = self._validate(given)
            if self._row_wise is not None:
                self._row_wise([dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)])
        except ValidationError as error:
            raise _refusal(error) from None
        whole = len(values) == len(self.names)
        sent = self._numeric if whole else [name for name in self._numeric if name in values]
        try:
            table = np.array([values[name] for name in sent], dtype=np.float64)
        except OverflowError:
            name = next(n for n in sent if any(abs(v or 0) > sys.float_info.max for v in values[n]))
            raise Refusal(422, f"field `{name}` is too large a number", name) from None
        numbers: dict[str, Floats] = dict(zip(sent, table, strict=True))
        for name in self._dated:
            if name in values:
                numbers[name] = np.array([_seconds(value) for value in values[name]])
        for name in self._optional:
            if name not in numbers:
                numbers[name] = np.full(rows, np.nan)
        return numbers, values

    def _one_row(self, columns: Mapping[str, Values]) -> tuple[dict[str, Floats], Mapping[str, Sequence[Any]]] | None:
        """`check` of one row; None where the whole of it must be judged."""
        held = self._numbers.held(columns)
        if held is None:
            return None
        row, sent = held
        values: Mapping[str, Sequence[Any]] = sent
        if self._others:
            try:
                others = self._validate_others({name: _listed(columns[name]) for name in self._others & columns.keys()})
            except ValidationError:
                return None
            values = {**sent, **others}
        table = np.array(row, dtype=np.float64).reshape(-1, 1)
        numbers: dict[str, Floats] = dict(
            zip(self._numbers.names, table, strict=False)
        )  # strict costs as much as the rest of the line
        for name in self._others:
            if name in self._dated:
                numbers |= {name: np.array([_seconds(v) for v in values.get(name, _NONE)])}
            elif name in self._numeric:
                numbers |= {name: np.array(values.get(name, _NONE), dtype=np.float64)}
        return numbers, values


def _listed(values: Values) -> Sequence[Any]:
    """A list for pydantic; what a binary tensor writes as NaN is a missing value."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "f" and np.isnan(values).any():
        return [None if v != v else v for v in values.tolist()]
    return typing.cast("list[Any]", values.tolist())


def _plain(annotation: Any) -> Any:
    """The type without None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [a for a in typing.get_args(annotation) if a is not type(None)]
        return others[0] if len(others) == 1 else None
    return annotation


def _column(info: FieldInfo, required: bool) -> Any:
    annotation: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return Required[list[annotation]] if required else NotRequired[list[annotation]]


def _seconds(value: datetime | None) -> float:
    if value is None:
        return float("nan")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _refusal(error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name, *place = first["loc"]
    if first["type"] == "missing":
        return Refusal(422, f"field `{name}` is missing", str(name))
    row = f" in row {place[0]}" if place and place[0] else ""
    return Refusal(422, f"field `{name}`{row}: {first['msg'].lower()}", str(name))
