"""Hypothesis strategies from what a repo declares: rows of its schema, inputs of its features.

@given(rows_of(Payment))
def test_a_rule(rows): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from carrental_mlops.data.features import FeatureSet
from carrental_mlops.errors import ConfigError
from carrental_mlops.testing.made_up import FieldRange, field_ranges, taken

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_FIRST, _LAST = datetime(1970, 1, 2), datetime(2100, 1, 1)


def rows_of(
    contract: type[BaseModel], max_rows: int = 20, without: Sequence[str] = ()
) -> SearchStrategy[list[dict[str, Any]]]:
    """Lists of one row or more that `contract` takes; they shrink to one row of the simplest values.

    Args:
        contract: the row contract.
        max_rows: at most so many.
        without: fields to leave out, such as the label.

    Raises:
        ConfigError: hypothesis is not installed.
    """
    st = _hypothesis()
    return st.lists(row_of(contract, without), min_size=1, max_size=max_rows)  # type: ignore[no-any-return]


def row_of(contract: type[BaseModel], without: Sequence[str] = ()) -> SearchStrategy[dict[str, Any]]:
    """Rows that `contract` takes: within type and bounds, at the bounds, optional fields None or left out.

    What validators of the contract's own refuse is filtered out; one that refuses nearly all makes hypothesis say so.

    Args:
        contract: the row contract.
        without: fields to leave out, such as the label.

    Raises:
        ConfigError: hypothesis is not installed.
    """
    st = _hypothesis()
    fields = field_ranges(contract, without)
    required = {field.name: value_of(field) for field in fields if field.required}
    optional = {field.name: value_of(field) for field in fields if not field.required}
    rows = st.fixed_dictionaries(required, optional=optional)
    return rows.filter(lambda row: taken(contract, row, without))  # type: ignore[no-any-return]


def value_of(field: FieldRange) -> SearchStrategy[Any]:
    """Values of one field, within its type and bounds; None too where it may be missing.

    Raises:
        ConfigError: hypothesis is not installed.
    """
    st = _hypothesis()
    found = _present(st, field)
    return st.none() | found if field.optional else found  # type: ignore[no-any-return]


def feature_inputs(feature_set: type[FeatureSet], max_rows: int = 20) -> SearchStrategy[dict[str, Any]]:
    """Arguments of `FeatureSet.compute`: (n,) float64 of each request field and stored feature, missing ones NaN.

    Args:
        feature_set: the repo's class.
        max_rows: at most so many rows, one at least.

    Raises:
        ConfigError: hypothesis is not installed.
    """
    st = _hypothesis()
    names = tuple(dict.fromkeys((*feature_set.request, *feature_set.stored_columns())))
    number = st.floats(-1e12, 1e12) | st.integers(0, 100).map(float) | st.just(float("nan"))

    def table(rows: int) -> Any:
        column = st.lists(number, min_size=rows, max_size=rows).map(lambda values: np.array(values, dtype=np.float64))
        return st.fixed_dictionaries(dict.fromkeys(names, column))

    return st.integers(1, max_rows).flatmap(table)  # type: ignore[no-any-return]


def _present(st: Any, field: FieldRange) -> Any:
    choices = field.choices()
    if choices is not None:
        return st.sampled_from(choices)
    if field.step:
        low, high = field.ends()
        first, last = -(-low // field.step), high // field.step
        return st.integers(int(first), int(last)).map(lambda n: field.kind(n * field.step))
    low, high = field.ends()
    if field.kind is int:
        return st.integers(int(low), int(high))
    if field.kind is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if field.kind is datetime:
        return st.datetimes(_FIRST, _LAST, timezones=st.just(UTC))
    if field.kind is date:
        return st.dates(_FIRST.date(), _LAST.date())
    if field.pattern:
        return st.from_regex(field.pattern, fullmatch=True)
    return st.text(st.characters(exclude_categories=("Cs",)), min_size=field.min_length, max_size=field.max_length)


def _hypothesis() -> Any:
    try:
        from hypothesis import strategies
    except ModuleNotFoundError:
        raise ConfigError(
            "hypothesis is not installed", "add hypothesis to the repo's tests: uv add --dev hypothesis"
        ) from None
    return strategies
