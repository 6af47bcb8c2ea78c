"""The row contract asked of a whole table: pydantic's verdict of each row, without a Python call per row."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Annotated, Any, cast

import annotated_types as at
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from carrental_mlops.core.arrays import Mask
from carrental_mlops.data.row_contract import has_own_validators

_SAFE_INT = 2**53
"""Beyond it float64 has gaps, so whole numbers are judged one by one."""
_COMPARED = {at.Gt: np.greater, at.Ge: np.greater_equal, at.Lt: np.less, at.Le: np.less_equal}


@dataclass(frozen=True, eq=False)
class FrameVerdict:
    """Which rows break the contract, and why."""

    bad: Mask
    """(n,) True where the row breaks it."""
    reasons: pd.DataFrame
    """One row per broken field: `row` (position), `column`, `reason`."""

    def counts(self) -> dict[str, int]:
        """Rows by `column: reason`, most first."""
        texts = self.reasons["column"] + ": " + self.reasons["reason"]
        return {str(k): int(n) for k, n in texts.value_counts().items()}


def judge(model: type[BaseModel], rows: pd.DataFrame, unique: str | None = None) -> FrameVerdict:
    """What `model` says of each row: what `model.model_validate` says of the row as a mapping.

    Columns that the model does not name are not looked at; a column that is not there counts as not given.
    A model with validators of its own is asked row by row, the others column by column.

    Args:
        model: the row contract; a missing value (None, NaN, NaT) counts as None.
        rows: any number of rows.
        unique: a column in which every value may stand once; the first row with a value keeps it.
    """
    checks: list[_RowWise] | list[FieldCheck]
    if has_own_validators(model):
        checks = [_RowWise(model)]
    else:
        checks = [FieldCheck(name, info, model.model_config) for name, info in model.model_fields.items()]
    reasons = [r for check in checks for r in check.broken(rows)]
    if unique is not None and unique in rows.columns:
        again = (rows[unique].duplicated() & rows[unique].notna()).to_numpy()
        reasons += [(int(i), unique, "a row before it has the same value") for i in np.flatnonzero(again)]
    table = pd.DataFrame(reasons, columns=["row", "column", "reason"]).astype({"row": np.int64})
    bad = np.zeros(len(rows), dtype=bool)
    bad[table["row"].to_numpy()] = True
    return FrameVerdict(bad, table)


class FieldCheck:
    """One field of the contract, over a column."""

    def __init__(self, name: str, info: FieldInfo, config: ConfigDict) -> None:
        self.name, self.info = info.alias or name, info
        self.base, self.bounds = _simple(info)
        annotation: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        self.finite = config.get("allow_inf_nan") is False
        self._lax = not config.get("strict")
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_scalar(config))
        self._said: dict[tuple[type, Any], str | None] = {}

    def broken(self, rows: pd.DataFrame) -> list[tuple[int, str, str]]:
        """(position, column, reason) of the rows whose value does not fit."""
        if self.name not in rows.columns:
            if not self.info.is_required():
                return []
            return [(i, self.name, "is not given") for i in range(len(rows))]
        column = rows[self.name]
        wrong = np.flatnonzero(~self.fits(column).to_numpy())
        values = column.iloc[wrong].astype(object).tolist()
        return [(int(i), self.name, self._judged(v) or "does not fit") for i, v in zip(wrong, values, strict=True)]

    def fits(self, column: pd.Series[Any]) -> pd.Series[Any]:
        """A bool for each value of `column`."""
        missing = column.isna().to_numpy()
        fine = self._vectorised(column)
        if fine is None:
            fine = np.ones(len(column), dtype=bool)
            fine[~missing] = [self._judged(v) is None for v in column[~missing].astype(object).tolist()]
        if missing.any():
            fine = np.where(missing, self._judged(None) is None, fine)
        return pd.Series(fine, index=column.index, dtype=bool)

    def _judged(self, value: Any) -> str | None:
        value = None if value is not None and pd.api.types.is_scalar(value) and pd.isna(value) else value
        try:
            key = (type(value), value)
            if key not in self._said:
                self._said[key] = self._ask(value)
            return self._said[key]
        except TypeError:  # not hashable
            return self._ask(value)

    def _ask(self, value: Any) -> str | None:
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            return str(error.errors()[0]["msg"]).lower()
        return None

    def _vectorised(self, column: pd.Series[Any]) -> Mask | None:
        """Verdicts of the values that are there, or None where only pydantic can tell."""
        kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else "?"
        if self.base in (int, float) and self._lax and kind in "iuf":
            values = column.to_numpy()
            fine = (
                np.isfinite(values) if kind == "f" and (self.finite or self.base is int) else np.ones(len(values), bool)
            )
            with np.errstate(invalid="ignore"):
                if self.base is int and kind == "f":
                    if (np.abs(values[fine]) >= _SAFE_INT).any():
                        return None
                    fine &= np.where(fine, values, 0) % 1 == 0
                if self.base is float and kind in "iu" and len(values) and _widest(values) >= _SAFE_INT:
                    return None
                for compare, bound in self.bounds:
                    fine &= compare(values, bound)
            return fine
        dated = isinstance(column.dtype, pd.DatetimeTZDtype) or kind == "M"
        if self.base is datetime and dated and not self.bounds:
            return np.ones(len(column), dtype=bool)
        return None


class _RowWise:
    """A model with validators of its own: pydantic is asked about each row."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def broken(self, rows: pd.DataFrame) -> list[tuple[int, str, str]]:
        """(position, column, reason), as `FieldCheck.broken`; `*` stands for the row as a whole."""
        found = []
        names = [i.alias or n for n, i in self._model.model_fields.items() if (i.alias or n) in rows.columns]
        columns = [rows[n].astype(object).tolist() for n in names]
        for position in range(len(rows)):
            try:
                self._model.model_validate({n: c[position] for n, c in zip(names, columns, strict=True)})
            except ValidationError as error:
                for one in error.errors():
                    found.append((position, str((*one["loc"], "*")[0]), str(one["msg"]).lower()))
        return found


def _scalar(config: ConfigDict) -> ConfigDict:
    kept = ("allow_inf_nan", "strict", "coerce_numbers_to_str", "use_enum_values")
    return cast(ConfigDict, {key: value for key, value in config.items() if key in kept})


def _widest(values: NDArray[Any]) -> int:
    return max(abs(int(values.min())), abs(int(values.max())))


def _simple(info: FieldInfo) -> tuple[type | None, list[tuple[Any, Any]]]:
    """The field's type without None, and its bounds; (None, []) where more than bounds constrains it."""
    annotation: Any = info.annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others: Sequence[Any] = [a for a in typing.get_args(annotation) if a is not type(None)]
        annotation = others[0] if len(others) == 1 else None
    bounds = []
    for constraint in info.metadata:
        compare = _COMPARED.get(type(constraint))
        if compare is None or annotation not in (int, float):
            return None, []
        bounds.append((compare, astuple(constraint)[0]))
    return (annotation if annotation in (int, float, datetime) else None), bounds
