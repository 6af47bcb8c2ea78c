"""The frame check says of each row what pydantic says of it."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from carrental_mlops.data.pandera_schema import frame_schema
from carrental_mlops.data.row_check import judge
from carrental_mlops.data.row_contract import RowContract


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Payment(RowContract):
    id: int
    eur: float = Field(gt=0, le=100)
    kind: Literal["a", "b", 3]
    colour: Colour
    at: datetime
    name: str = Field(max_length=4)
    n: int | None = Field(default=None, ge=0, lt=2**60)
    share: float | None = None
    flag: bool = False


class Strict(Payment):
    @field_validator("eur")
    @classmethod
    def _not_thirteen(cls, value: float) -> float:
        if value == 13:
            raise ValueError("thirteen")
        return value


ODD: list[Any] = [None, float("nan"), float("inf"), float("-inf"), -1, 0, 1, 3, 3.5, True, "3", "a", "red", "long name",
                  "2026-01-01", 2**53 + 1, 10**30, 1e300, datetime(2026, 1, 1, tzinfo=UTC), [1], {}, b"a"]  # fmt: skip
USUAL: dict[str, list[Any]] = {
    "id": [1, 2, -5], "eur": [1.0, 99.5, 100.0, 13.0], "kind": ["a", "b", 3], "colour": ["red", "blue"],
    "at": [datetime(2026, 1, 2, tzinfo=UTC), "2026-01-03T04:05:06Z"], "name": ["x", "abcd"],
    "n": [0, 5, None], "share": [0.5, None], "flag": [True, False],
}  # fmt: skip
ROW = st.fixed_dictionaries({name: st.one_of(st.sampled_from(v), st.sampled_from(ODD)) for name, v in USUAL.items()})


def _pydantic(model: type[RowContract], row: dict[str, Any]) -> bool:
    try:
        model.model_validate(row)
    except ValidationError:
        return False
    return True


def _agree(model: type[RowContract], frame: pd.DataFrame) -> None:
    expected = [
        _pydantic(model, dict(zip(frame.columns, row, strict=True)))
        for row in frame.astype(object).itertuples(index=False)
    ]
    verdict = judge(model, frame)
    assert (~verdict.bad).tolist() == expected
    assert sorted(set(verdict.reasons["row"])) == np.flatnonzero(verdict.bad).tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from([Payment, Strict]))
def test_mixed_columns_get_the_verdict_of_pydantic(rows: list[dict[str, Any]], model: type[RowContract]) -> None:
    _agree(model, pd.DataFrame(rows, dtype=object))


NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 100.0, 100.5, 2.0**53, 2.0**60, 1e300]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=30), st.booleans())
def test_typed_columns_get_the_verdict_of_pydantic(numbers: list[tuple[float, float, int]], swap: bool) -> None:
    eur, n, whole = (list(v) for v in zip(*numbers, strict=True))
    frame = pd.DataFrame({"id": whole, "eur": whole if swap else eur, "n": n, "share": eur})
    fixed = {"kind": "a", "colour": "red", "name": "x", "at": pd.Timestamp("2026-01-01", tz="UTC"), "flag": True}
    frame = frame.assign(**fixed)
    _agree(Payment, frame)


@pytest.mark.parametrize("model", [Payment, Strict])
def test_a_thousand_rows_get_one_verdict_from_three_readers(model: type[RowContract]) -> None:
    rng = np.random.default_rng(3)

    def value(usual: list[Any]) -> Any:
        pool = usual if rng.random() < 0.95 else ODD
        return pool[rng.integers(len(pool))]

    rows = [{name: value(usual) for name, usual in USUAL.items()} for _ in range(1000)]
    frame = pd.DataFrame(rows, dtype=object)
    _agree(model, frame)
    import pandera.errors

    with pytest.raises(pandera.errors.SchemaErrors) as error:
        frame_schema(model).validate(frame, lazy=True)
    bad = set(error.value.failure_cases["index"].dropna().astype(int))
    assert bad == set(np.flatnonzero(judge(model, frame).bad))


def test_duplicate_ids_and_missing_columns_break_rows() -> None:
    frame = pd.DataFrame({"id": [1, 1, 2], "eur": 1.0, "kind": "a", "colour": "red", "at": "2026-01-01", "name": "x"})
    assert judge(Payment, frame, unique="id").bad.tolist() == [False, True, False]
    assert judge(Payment, frame.drop(columns="eur")).counts() == {"eur: is not given": 3}
