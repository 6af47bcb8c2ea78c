"""Ten times the rows: caught by what the last run that ended well had read, with nothing configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.errors import DataError
from carrental_mlops.integrations.mlflow import Tracker, tracking_uri
from carrental_mlops.steps.ingest import IngestConfig, IngestStep

COLUMNS = Columns(id="id", time="at", label="y", entities=("who",))


def _write(root: Path, rows: int) -> None:
    pd.DataFrame({"id": range(rows), "at": "2026-01-01", "who": "a", "y": 0}).to_parquet(root / "data.parquet")


def _read(root: Path, run_id: str, **more: Any) -> Context:
    values = {"pipeline": "training", "env": "local", **{k: more.pop(k) for k in ("pipeline", "env") if k in more}}
    context = Context(run_id=run_id, step="ingest", service="fraud", root=root, **values)
    IngestStep(IngestConfig(source=more.pop("source", "data.parquet"), columns=COLUMNS, **more), context).run()
    return context


def _tracked(root: Path, run_id: str, status: Any = "FINISHED") -> None:
    context = _read(root, run_id)
    tracker = Tracker(tracking_uri(root), "fraud", run_id)
    tracker.start(context)
    tracker.record(context)
    tracker.finish(status)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repo")
    _write(root, 1000)
    _tracked(root, "run-1")
    _write(root, 50)
    context = Context(run_id="run-2", pipeline="training", step="ingest", service="fraud", root=root)
    context.metric("rows_read", 50)
    context.param("source", "data.parquet")
    failed = Tracker(tracking_uri(root), "fraud", "run-2")
    failed.start(context)
    failed.record(context)
    failed.finish("FAILED")
    return root


@pytest.mark.parametrize("rows", [10_000, 5_000, 200, 10])
def test_far_more_or_fewer_rows_than_last_time_stop_the_run(root: Path, rows: int) -> None:
    _write(root, rows)
    with pytest.raises(DataError) as error:
        _read(root, "run-3")
    text = str(error.value)
    assert f"{rows} rows" in text and "1000 in the last run that ended well (run-1)" in text
    assert "--set steps.ingest.max_change=null" in error.value.fix


@pytest.mark.parametrize("rows", [4_900, 210])
def test_what_a_season_may_bring_passes(root: Path, rows: int) -> None:
    _write(root, rows)
    assert _read(root, "run-3").metrics["rows_read"] == rows


def test_the_check_can_be_widened_or_switched_off(root: Path) -> None:
    _write(root, 10_000)
    assert _read(root, "run-3", max_change=None).metrics["rows_read"] == 10_000
    assert _read(root, "run-3", max_change=20).metrics["rows_read"] == 10_000


@pytest.mark.parametrize("other", [{"pipeline": "batch_inference"}, {"env": "prod"}, {"source": "./data.parquet"}])
def test_another_pipeline_environment_or_source_is_not_compared(root: Path, other: dict[str, str]) -> None:
    _write(root, 10_000)
    assert _read(root, "run-3", **other).metrics["rows_read"] == 10_000
