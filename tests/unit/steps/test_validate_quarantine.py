"""Bad rows are set aside with counts and reasons; bad tables stop the run."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.errors import ContractError, DataError
from carrental_mlops.steps.tables import RawRows
from carrental_mlops.steps.validate import ValidateConfig, ValidateStep

COLUMNS = Columns(id="id", time="at", label="y", entities=("who",))


class Payment(RowContract):
    id: int
    at: datetime
    who: str
    eur: float = Field(gt=0, le=100)
    y: int | None = Field(default=None, ge=0, le=1)


class Validate(ValidateStep):
    schema = Payment


def _rows(n: int = 100) -> pd.DataFrame:
    at = pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC")
    return pd.DataFrame({"id": range(n), "at": at, "who": "a", "eur": 5.0, "y": [0, 1] * (n // 2)})


def _run(rows: pd.DataFrame, context: Context | None = None, **settings: Any) -> pd.DataFrame:
    config = ValidateConfig(columns=COLUMNS, **{"max_bad_share": 0.1, **settings})
    return Validate(config, context or Context()).run(rows=RawRows(rows))


def _spoilt() -> pd.DataFrame:
    rows = _rows()
    rows.loc[3, "eur"], rows.loc[5, "eur"], rows.loc[7, "id"], rows.loc[9, "who"] = -1.0, float("nan"), 6, None
    return rows


def test_good_rows_come_through_unchanged() -> None:
    pd.testing.assert_frame_equal(_run(_rows()), _rows())


def test_bad_rows_are_set_aside_counted_logged_and_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = Context(root=tmp_path, stores=True, run_id="r1")
    with caplog.at_level(logging.WARNING, logger=context.log.name):
        kept = _run(_spoilt(), context)
    assert sorted(set(range(100)) - set(kept.index)) == [3, 5, 7, 9]
    assert context.metrics["rows_quarantined"] == 4 and context.metrics["rows_bad_eur"] == 2
    assert "eur: input should be greater than 0" in caplog.text
    stored = [json.loads(line) for line in (tmp_path / ".crm/quarantine/r1.jsonl").read_text().splitlines()]
    assert [row["crm_reasons"].split(":")[0] for row in stored] == ["eur", "eur", "id", "who"]


def test_an_in_process_run_stores_nothing(tmp_path: Path) -> None:
    _run(_spoilt(), Context(root=tmp_path))
    assert not list(tmp_path.iterdir())


def test_severity_decides_what_a_bad_row_does() -> None:
    assert len(_run(_spoilt(), severity="warn")) == 100
    with pytest.raises(DataError, match="4 of 100 rows are bad"):
        _run(_spoilt(), severity="fail")
    with pytest.raises(DataError, match=r"at most 1\.00% may be"):
        _run(_spoilt(), max_bad_share=0.01)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda r: r.iloc[:0], "0 rows"),
        (lambda r: r.drop(columns="eur"), "no column `eur`"),
        (lambda r: r.drop(columns="y"), "no column `y`"),
        (lambda r: r.assign(eur=float("nan")), "`eur` is empty"),
        (lambda r: r.assign(y=None), "`y` is empty"),
        (lambda r: r.assign(eur="dear"), "`eur` is object"),
        (lambda r: r.assign(who=5), "`who` is int64"),
        (lambda r: r.assign(at="never"), "`at` is object"),
        (lambda r: pd.concat([r] * 10), "ten times"),
    ],
)
def test_a_bad_table_stops_the_run_and_says_why(spoil: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        _run(spoil(_rows()), expected_rows=100)


def test_numbers_and_times_written_as_text_arrive_as_numbers_and_times() -> None:
    rows = _rows()
    kept = _run(rows.assign(eur="5.0", at=rows["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")))
    pd.testing.assert_frame_equal(kept, rows, check_dtype=False)


def test_a_contract_without_a_role_is_refused() -> None:
    with pytest.raises(ContractError, match="customer"):
        Validate(ValidateConfig(columns=COLUMNS.model_copy(update={"entities": ("customer",)}))).run(
            rows=RawRows(_rows())
        )
