"""One row is checked by a short way, whose verdict and values are those of the whole contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.signature import Signature


class Wide(RowContract):
    amount: float = Field(ge=0, lt=20_000)
    branch: int = Field(gt=0, le=900)
    days: float | None = Field(default=None, gt=0, le=365)
    channel: int | None = Field(ge=0, le=9)
    even: int | None = Field(default=None, multiple_of=2)
    paid_at: datetime
    note: str | None = None
    kind: Literal[1, 2] = 1


SIGNATURE = Signature(Wide, stored=("history__count",))
NAMES = SIGNATURE.names
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 1000),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        ["7", "x", "2026-01-01T00:00:00Z", 0, 0.0, -0.0, 20_000.0, 19_999.999, 365.0, 900, 901, 9, 2**53 + 1]
    ),
)


def told(columns: dict[str, Any], rows: int) -> Any:
    try:
        numbers, values = SIGNATURE.check(columns, rows)
    except Refusal as refusal:
        return refusal.status, refusal.field
    first = {name: float(column[0]) for name, column in numbers.items()}
    return {n: "nan" if v != v else v for n, v in first.items()}, {n: repr(v[0]) for n, v in values.items()}


@given(st.dictionaries(st.sampled_from([*NAMES, "unknown"]), VALUES))
def test_a_row_alone_and_a_row_among_two_get_the_same_verdict_and_values(row: dict[str, Any]) -> None:
    alone = told({name: [value] for name, value in row.items()}, 1)
    assert alone == told({name: [value, value] for name, value in row.items()}, 2)


GOOD = {"amount": 12, "branch": 3, "channel": None, "paid_at": "2026-01-01T00:00:00Z", "history__count": 2.0}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"amount": 0},
        {"amount": 19_999.99},
        {"days": 365},
        {"days": None},
        {"channel": 9},
        {"even": 4},
        {"note": "n"},
    ],
)
def test_values_at_their_bounds_pass(changed: dict[str, Any]) -> None:
    numbers, values = SIGNATURE.check({name: [value] for name, value in {**GOOD, **changed}.items()}, 1)
    assert set(numbers) == set(NAMES) - {"note"} - ({"kind"} - set(numbers))
    assert isinstance(values["amount"][0], float) and numbers["paid_at"].dtype == np.float64


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"amount": -0.01}, "amount"), ({"amount": 20_000}, "amount"), ({"branch": 0}, "branch"),
     ({"branch": 1.5}, "branch"), ({"days": 0}, "days"), ({"channel": 10}, "channel"),
     ({"even": 3}, "even"), ({"paid_at": None}, "paid_at"),
     ({"amount": float("nan")}, "amount"), ({"history__count": float("inf")}, "history__count")],
)  # fmt: skip
def test_a_value_beyond_its_bounds_is_refused_by_its_name(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        SIGNATURE.check({name: [value] for name, value in {**GOOD, **changed}.items()}, 1)
    assert refused.value.status == 422 and refused.value.field == field
