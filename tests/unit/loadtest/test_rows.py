"""Requests from real rows, or from rows within the contract's bounds."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import Field as Bound
from pydantic import model_validator

from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.errors import DataError
from carrental_mlops.loadtest.rows import MOST, Rows, bodies, from_file, made_up
from carrental_mlops.loadtest.target import Field


class Car(Enum):
    SMALL = "small"
    LARGE = "large"


class Rental(RowContract):
    id: int = Bound(gt=0, lt=5)
    at: datetime
    price_eur: float = Bound(ge=10, le=20)
    days: float | None = Bound(default=None, gt=0)
    channel: Literal["web", "desk"]
    car: Car
    code: str = Bound(min_length=12, max_length=15)
    insured: bool
    below: int = Bound(le=-5)


FIELDS = (Field("at", "BYTES", True), Field("price_eur", "FP64", True), Field("id", "INT64", True),
          Field("days", "FP64", False), Field("insured", "BOOL", True), Field("car", "BYTES", True))  # fmt: skip


def inputs(body: str) -> dict[str, object]:
    return {t["name"]: t["data"][0] for t in json.loads("{" + body)["inputs"]}


def test_made_up_rows_keep_the_contract() -> None:
    rows = made_up(Rental, 50)
    assert rows.made_up
    assert "Rental" in rows.source
    assert len({row["price_eur"] for row in rows.rows}) > 40
    assert {row["days"] is None for row in rows.rows} == {True, False}
    sent = [inputs(body) for body in bodies(rows, FIELDS)]
    assert {type(one["price_eur"]) for one in sent} == {float}
    assert {one["car"] for one in sent} == {"small", "large"}
    assert all(datetime.fromisoformat(str(one["at"])).tzinfo for one in sent)


def test_a_contract_that_no_made_up_row_keeps_asks_for_real_ones() -> None:
    class Strict(RowContract):
        a: int

        @model_validator(mode="after")
        def _sum(self) -> Strict:
            if self.a != -1:
                raise ValueError("never")
            return self

    with pytest.raises(DataError, match="Strict") as refused:
        made_up(Strict, 5)
    assert "--rows" in refused.value.fix


def test_rows_of_a_parquet_file_are_sampled_evenly(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": pa.array(range(5_000), pa.int32()), "days": [None] * 5_000}), path)
    rows = from_file(path)
    assert len(rows.rows) == MOST
    assert rows.rows[-1]["id"] == 4_990
    (first, *_) = bodies(rows, [Field("id", "INT64", True), Field("days", "FP64", False)])
    assert inputs(first) == {"id": 0}


@pytest.mark.parametrize("content", [None, "", "no json"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="--rows"):
        from_file(path)


def test_a_field_that_the_service_wants_and_no_row_has_is_named() -> None:
    with pytest.raises(DataError, match="price_eur"):
        bodies(Rows([{"id": 1, "at": "2026-01-01"}], "x"), FIELDS[:3])


def test_a_value_of_another_type_is_sent_as_missing_for_the_service_to_refuse() -> None:
    (body,) = bodies(Rows([{"id": "seven"}], "x"), [Field("id", "INT64", True)])
    assert inputs(body) == {"id": None}
