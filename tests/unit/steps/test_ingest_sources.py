"""Every source gives the same rows; what cannot be read says so."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import ConfigError, ContractError, CrmError, DataError, PlatformError
from carrental_mlops.steps.ingest import IngestConfig, IngestStep

COLUMNS = Columns(id="id", time="at", label="y", entities=("who",), rename={"ID": "id"})
ROWS = pd.DataFrame(
    {
        "ID": [1, 2],
        "at": pd.to_datetime(["2026-01-01T10:00:00", "2026-01-02"], format="ISO8601"),
        "who": ["a", "b"],
        "y": [0, 1],
    }
)


def _read(root: Path, source: str, **more: Any) -> pd.DataFrame:
    return IngestStep(IngestConfig(source=source, columns=COLUMNS, **more), Context(root=root)).run()


def _write(root: Path) -> None:
    ROWS.to_parquet(root / "one.parquet")
    ROWS.to_csv(root / "one.csv", index=False)
    (root / "many").mkdir()
    for i in range(2):
        ROWS.iloc[[i]].to_parquet(root / "many" / f"{i}.parquet")
    with sqlite3.connect(root / "one.db") as database:
        ROWS.astype({"at": str}).to_sql("payments", database, index=False)


def test_parquet_csv_folder_glob_and_sql_give_the_same_rows(tmp_path: Path) -> None:
    _write(tmp_path)
    first = _read(tmp_path, "one.parquet")
    assert list(first.columns) == ["id", "at", "who", "y"] and str(first["at"].dt.tz) == "UTC"
    sql = {"source": f"sqlite:///{tmp_path}/one.db", "query": "select * from payments"}
    for more in ({"source": "one.csv"}, {"source": "many"}, {"source": "many/*.parquet"}, sql):
        pd.testing.assert_frame_equal(_read(tmp_path, **more), first, check_dtype=False)


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("nowhere.parquet", DataError, "nothing to read"),
        ("broken.parquet", DataError, "cannot be read"),
        ("ftp://x/y", ConfigError, "none that is known"),
        ("sim://frod", ConfigError, "frod"),
        ("sim://fraud?row=5", ConfigError, "row"),
        ("sim://fraud?rows=many", ConfigError, "many"),
        ("sim://fraud?rows=5", DataError, "1,000"),
        ("sqlite:///x.db", ConfigError, "without a query"),
    ],
)
def test_a_source_that_cannot_be_read_is_explained(
    tmp_path: Path, source: str, kind: type[CrmError], text: str
) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(kind, match=text):
        _read(tmp_path, source)


def test_a_database_that_is_down_is_a_platform_error_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENTS_PASSWORD", "secret")
    with pytest.raises(PlatformError) as error:
        _read(tmp_path, "postgresql://me@127.0.0.1:1/db", query="select 1", password_env="PAYMENTS_PASSWORD")
    assert "secret" not in str(error.value) and error.value.retryable


@pytest.mark.parametrize("url", ["postgresql://me:secret@h/db", "postgresql://h/db?user=me&password=secret"])
def test_a_password_in_the_config_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="password_env") as error:
        _read(tmp_path, url, query="select 1")
    assert "secret" not in str(error.value)


def test_an_unset_password_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NOT_SET_HERE"):
        _read(tmp_path, "postgresql://me@h/db", query="select 1", password_env="NOT_SET_HERE")


def test_an_sqlite_file_without_the_table_is_the_datas_fault(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(DataError, match="no such table"):
        _read(tmp_path, f"sqlite:///{tmp_path}/one.db", query="select * from refunds")


def test_ten_times_the_rows_stop_the_run(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(DataError, match="at most 1"):
        _read(tmp_path, "one.parquet", max_rows=1)


def test_clean_may_not_lose_a_column(tmp_path: Path) -> None:
    class Forgetful(IngestStep):
        def clean(self, *, rows: pd.DataFrame) -> pd.DataFrame:
            return rows.drop(columns="who")

    _write(tmp_path)
    with pytest.raises(ContractError, match="who"):
        Forgetful(IngestConfig(source="one.parquet", columns=COLUMNS), Context(root=tmp_path)).run()
