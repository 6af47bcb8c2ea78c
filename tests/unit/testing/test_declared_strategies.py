"""Rows made from a schema, by hypothesis and by a seed: the contract takes every one."""

from __future__ import annotations

import re
import sys
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from carrental_mlops.core import call
from carrental_mlops.data.features import Arrays, FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.testing.from_pattern import text_of
from carrental_mlops.testing.made_up import field_ranges, made_up_rows
from carrental_mlops.testing.strategies import feature_inputs, row_of, rows_of


class Kind(Enum):
    CARD = "card"
    CASH = "cash"


class Rental(RowContract):
    rental_id: int = Field(gt=0, lt=10)
    days: float = Field(gt=0, le=365)
    step: int = Field(ge=0, le=100, multiple_of=5)
    paid: bool
    kind: Kind
    tariff: Literal["day", "week"]
    picked_up: datetime
    born: date | None = None
    plate: Annotated[str, Field(min_length=2, max_length=8)]
    code: str | None = Field(default=None, pattern=r"^[A-Z]{3}-\d{2}$")
    label: int = Field(ge=0, le=1)


class Ordered(RowContract):
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _rises(self) -> Ordered:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self


class Never(RowContract):
    amount: float

    @model_validator(mode="after")
    def _no(self) -> Never:
        raise ValueError("no row fits")


class Ratio(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=(7,)),)
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"twice": columns["amount"] * 2}


@settings(max_examples=60, deadline=None)
@given(row_of(Rental))
def test_the_contract_takes_each_drawn_row(row: dict[str, object]) -> None:
    Rental.model_validate(row)


@settings(max_examples=20, deadline=None)
@given(rows_of(Ordered, max_rows=3))
def test_validators_of_the_contract_s_own_are_kept(rows: list[dict[str, float]]) -> None:
    assert 1 <= len(rows) <= 3
    assert all(row["low"] <= row["high"] for row in rows)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_field_left_out_is_in_no_row(data: st.DataObject) -> None:
    assert "label" not in data.draw(row_of(Rental, without=("label",)))


@settings(max_examples=30, deadline=None)
@given(feature_inputs(Ratio, max_rows=4))
def test_features_take_what_is_drawn_for_them(columns: Arrays) -> None:
    assert set(columns) == {"amount", "customer__count_7d"}
    made = call(Ratio().compute, columns=columns)
    assert len(made["twice"]) == len(columns["amount"]) <= 4


def test_made_up_rows_fit_reach_the_bounds_and_are_the_same_for_a_seed() -> None:
    rows = made_up_rows(Rental, 200, seed=1)
    for row in rows:
        Rental.model_validate(row)
    assert rows == made_up_rows(Rental, 200, seed=1) != made_up_rows(Rental, 200, seed=2)
    assert {row["days"] for row in rows} >= {365.0}
    assert {row["rental_id"] for row in rows} <= set(range(1, 10))
    assert list(rows[0]) == list(Rental.model_fields)
    assert any(row["code"] for row in rows)
    assert any(row["born"] is None for row in rows)


def test_a_required_label_is_left_out_of_made_up_rows() -> None:
    assert "label" not in made_up_rows(Rental, 3, without=("label",))[0]


@pytest.mark.parametrize(
    "pattern", [r"^DE\d{2}[0-9A-Z]{4,6}$", r"^(ab|c+)[^x]\w?-\s.*$", r"^[a-f\d]{8}(-[a-f]{4}){3}$"]
)
def test_a_text_is_made_from_its_pattern(pattern: str) -> None:
    random = np.random.default_rng(0)
    assert all(re.fullmatch(pattern, text_of(pattern, random)) for _ in range(50))


def test_a_contract_that_takes_nothing_is_said_to() -> None:
    with pytest.raises(DataError, match="0 of 2 made-up rows fit `Never`"):
        made_up_rows(Never, 2)


def test_bounds_are_read_from_the_declaration() -> None:
    ranges = {field.name: field for field in field_ranges(Rental)}
    assert (ranges["rental_id"].low, ranges["rental_id"].high) == (1, 9)
    assert ranges["kind"].choices() == ["card", "cash"]
    assert ranges["plate"].max_length == 8
    assert ranges["born"].optional


def test_without_hypothesis_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ConfigError, match="hypothesis is not installed"):
        row_of(Rental)
