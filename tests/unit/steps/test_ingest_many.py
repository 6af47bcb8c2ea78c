"""A folder of many files between two runs: only what changed is read; what is broken is named."""

from __future__ import annotations

import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import DataError
from carrental_mlops.steps.ingest import MANY, IngestConfig, IngestStep

COLUMNS = Columns(id="id", time="at", label="y", entities=("who",))
FILES = MANY + 20


def _one(n: int, rows: int = 3) -> pd.DataFrame:
    ids = [n * 10 + i for i in range(rows)]
    return pd.DataFrame(
        {"id": ids, "at": pd.Timestamp("2026-01-01", tz="UTC"), "who": [f"c{i % 7}" for i in ids], "y": 0}
    )


def _write(folder: Path, count: int = FILES) -> Path:
    folder.mkdir(exist_ok=True)
    for n in range(count):
        _one(n).to_csv(folder / f"{n:04d}.csv", index=False)
    for path in folder.iterdir():
        _settle(path)
    return folder


def _settle(path: Path) -> None:
    os.utime(path, (1_700_000_000, 1_700_000_000))


def _run(root: Path, source: str = "data", stores: bool = True) -> tuple[pd.DataFrame, Context]:
    context = Context(root=root, stores=stores, step="ingest")
    return IngestStep(IngestConfig(source=source, columns=COLUMNS), context).run(), context


def _parts(root: Path) -> list[Path]:
    return sorted(root.glob(".crm/ingest/*/part-*.parquet"))


def _expected(folder: Path) -> list[int]:
    return [i for path in sorted(folder.glob("*.csv")) for i in pd.read_csv(path)["id"]]


def test_many_csv_files_read_as_one_big_one_does(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("not data")
    many, context = _run(tmp_path)
    pd.concat([pd.read_csv(path) for path in sorted(folder.glob("*.csv"))]).to_csv(tmp_path / "one.csv", index=False)
    one, _ = _run(tmp_path, "one.csv")
    pd.testing.assert_frame_equal(many, one)
    assert context.metrics["files_read"] == FILES and len(context.params["data_digest"]) == 64


def test_the_type_of_a_column_does_not_depend_on_which_file_a_value_lies_in(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    lines = {3: "30,2026-01-01T00:00:00Z,007,0", 4: "40,2026-01-01T00:00:00Z,,1.5", 5: "50,2026-01-01T00:00:00Z,c5,1"}
    for n, line in lines.items():
        (folder / f"{n:04d}.csv").write_text(f"id,at,who,y\n{line}\n")
    rows, _ = _run(tmp_path)
    assert str(rows["id"].dtype) == "int64" and str(rows["y"].dtype) == "float64"
    assert rows.set_index("id").loc[[30, 50], "who"].tolist() == ["007", "c5"] and rows["who"].isna().sum() == 1


def test_added_changed_and_missing_files_are_read_again_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _write(tmp_path / "data")
    _, first = _run(tmp_path)
    before = {path: path.read_bytes() for path in _parts(tmp_path)}
    _one(5000, rows=4).to_csv(folder / "0005.csv", index=False)  # changed
    _one(7000).to_csv(folder / "0000a.csv", index=False)  # added, between two others
    (folder / "0007.csv").unlink()
    with caplog.at_level(logging.INFO, logger="carrental_mlops"):
        rows, second = _run(tmp_path)
    assert rows["id"].tolist() == _expected(folder)
    assert f"{FILES - 2} unchanged, 1 added, 1 changed, 1 missing" in caplog.text
    assert {path: path.read_bytes() for path in before} == before and len(_parts(tmp_path)) == len(before) + 1
    assert second.params["data_digest"] != first.params["data_digest"]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="carrental_mlops"):
        again, third = _run(tmp_path)
    assert again["id"].tolist() == _expected(folder) and "0 added, 0 changed, 0 missing" in caplog.text
    assert third.params["data_digest"] == second.params["data_digest"]


def test_same_size_and_same_mtime_do_not_hide_another_content(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    _run(tmp_path)
    path = folder / "0003.csv"
    path.write_text(path.read_text().replace("c2", "cX"))
    _settle(path)
    rows, _ = _run(tmp_path)
    assert "cX" in set(rows["who"])


def test_a_touched_or_moved_file_is_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").mkdir()
    _write(tmp_path / "a" / "data")
    _, first = _run(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    for path in (tmp_path / "b" / "data").iterdir():
        path.touch()
    with caplog.at_level(logging.INFO, logger="carrental_mlops"):
        _, second = _run(tmp_path / "b")
    assert f"{FILES} unchanged" in caplog.text and second.params == first.params | second.params
    assert second.params["data_digest"] == first.params["data_digest"]


def test_broken_files_among_many_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    (folder / "0011.csv").write_text("id,at,who,y\n1,2\n")
    (folder / "0012.csv").write_bytes(b"")
    with pytest.raises(DataError) as error:
        _run(tmp_path)
    text = str(error.value)
    assert f"2 of {FILES} files" in text and "0011.csv: expected UTF-8 CSV" in text and "Expected 4 columns" in text
    assert "0012.csv" in text and "the file is empty" in text and "are not read again" in text
    before = {path: path.read_bytes() for path in _parts(tmp_path)}
    _one(11).to_csv(folder / "0011.csv", index=False)
    (folder / "0012.csv").unlink()
    rows, _ = _run(tmp_path)
    assert rows["id"].tolist() == _expected(folder)
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_of_another_type_is_named_with_the_column(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for n in range(FILES):
        _one(n).to_parquet(folder / f"{n:04d}.parquet")
    _one(3).astype({"id": str}).to_parquet(folder / "0003.parquet")
    with pytest.raises(DataError, match=r"0003.parquet: expected column `id` as int64, as in 0000.parquet, found"):
        _run(tmp_path)


def test_a_damaged_part_is_refused_and_read_again_by_the_next_run(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    _run(tmp_path)
    (part,) = _parts(tmp_path)
    content = bytearray(part.read_bytes())
    content[40] ^= 0xFF
    part.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        _run(tmp_path)
    assert _run(tmp_path)[0]["id"].tolist() == _expected(folder)


def test_a_run_in_process_uses_what_was_kept_and_writes_nothing(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    rows, _ = _run(tmp_path, stores=False)
    assert rows["id"].tolist() == _expected(folder) and not (tmp_path / ".crm").exists()
    _run(tmp_path)
    (folder / "0001.csv").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / ".crm").rglob("*")}
    rows, _ = _run(tmp_path, stores=False)
    assert rows["id"].tolist() == _expected(folder)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / ".crm").rglob("*")} == before


def test_parts_that_mostly_hold_dead_rows_go(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    _run(tmp_path)
    for n in range(FILES * 2 // 3):
        _one(n, rows=2).to_csv(folder / f"{n:04d}.csv", index=False)
    rows, _ = _run(tmp_path)
    assert rows["id"].tolist() == _expected(folder) and [p.name for p in _parts(tmp_path)] == ["part-000001.parquet"]


@pytest.mark.parametrize("zipped", [False, True])
def test_json_lines_keep_texts_that_look_like_times_and_take_the_day_from_the_folder(
    tmp_path: Path, zipped: bool
) -> None:
    for n in range(3):
        path = tmp_path / "data" / f"day=2026-01-0{n + 1}" / ("x.jsonl.gz" if zipped else "x.jsonl")
        path.parent.mkdir(parents=True)
        record: dict[str, Any] = {"id": n, "at": "2026-01-01 10:00:00" if n else "2026-01-01T10:00:00.5Z", "y": n / 2}
        text = (json.dumps(record) + "\n").encode()
        path.write_bytes(gzip.compress(text) if zipped else text)
    rows, _ = _run(tmp_path)
    assert rows["day"].tolist() == ["2026-01-01", "2026-01-02", "2026-01-03"] and rows["y"].tolist() == [0, 0.5, 1]
    assert rows["at"].notna().all() and str(rows["at"].dtype) == "datetime64[ns, UTC]"


def test_files_of_several_formats_are_refused(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data", 2)
    _one(9).to_parquet(folder / "9.parquet")
    with pytest.raises(DataError, match="several formats"):
        _run(tmp_path)
    assert len(_run(tmp_path, "data/*.csv")[0]) == 6


def test_an_engines_cache_key_changes_with_the_files_and_not_with_anything_else(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data", 3)
    config = IngestConfig(source="data", columns=COLUMNS)
    before = config.outside(tmp_path)
    assert config.outside(tmp_path) == before
    (folder / "0001.csv").write_text((folder / "0001.csv").read_text().replace("c3", "cX"))
    changed = config.outside(tmp_path)
    (folder / "0002.csv").unlink()
    assert len({before, changed, config.outside(tmp_path)}) == 3
    assert IngestConfig(source="sim://fraud", columns=COLUMNS).outside(tmp_path) == ""
    database = IngestConfig(source="sqlite:///x.db", query="select 1", columns=COLUMNS)
    assert database.outside(tmp_path) != database.outside(tmp_path)
