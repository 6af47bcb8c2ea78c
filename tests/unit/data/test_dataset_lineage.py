"""Digests of tables, and what a registered version and the report say of the run that made them."""

from __future__ import annotations

import html
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.datasets import dataset_of, frame_digest
from carrental_mlops.data.model import Model
from carrental_mlops.steps import (
    Champion,
    Evaluation,
    Explanation,
    RegisterConfig,
    RegisterStep,
    Registration,
    ReportConfig,
    ReportStep,
    Verdict,
)
from carrental_mlops.steps.tables import TestRows, TrainRows

YES = Verdict(True, (), promote=True)


def _rows(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    when = pd.date_range("2026-01-01", periods=n, freq="h", tz="UTC")
    words = pd.Series(["ab", None, "", "ç"] * (n // 4), dtype=object)
    amount = rng.normal(size=n)
    amount[3] = np.nan
    return pd.DataFrame({"id": range(n), "t": when, "y": [0, 1] * (n // 2), "a": amount, "word": words})


def test_a_digest_survives_parquet_and_another_index(tmp_path: Path) -> None:
    rows = _rows()
    rows.to_parquet(tmp_path / "rows.parquet")
    assert frame_digest(pd.read_parquet(tmp_path / "rows.parquet")) == frame_digest(rows)
    assert frame_digest(rows.set_index(rows["id"] + 7)) == frame_digest(rows)
    assert len(frame_digest(rows.iloc[:0])) == 64


@pytest.mark.parametrize(
    "changed",
    [
        lambda rows: rows.assign(a=rows["a"].where(rows["id"] != 9, 0.0)),
        lambda rows: rows.assign(word=rows["word"].where(rows["id"] != 2, "x")),
        lambda rows: rows.iloc[::-1],
        lambda rows: rows.iloc[:-1],
        lambda rows: rows[["t", "id", "y", "a", "word"]],
        lambda rows: rows.rename(columns={"a": "b"}),
        lambda rows: rows.assign(id=rows["id"].astype("int32")),
    ],
)
def test_a_digest_changes_with_value_order_name_and_type(changed) -> None:
    assert frame_digest(changed(_rows())) != frame_digest(_rows())


def test_a_data_set_says_size_types_and_source() -> None:
    made = dataset_of(_rows(), "s3://bucket/x", "training")
    assert (made.rows, made.source, made.role) == (40, "s3://bucket/x", "training")
    assert made.columns["a"] == "float64" and made.columns["t"] == "datetime64[ns, UTC]"


def _report(context: Context) -> str:
    report = ReportStep(ReportConfig(columns=Columns(id="id", time="t", label="y", entities=())), context)
    rows = _rows()
    report.run(
        model=_model(), train=TrainRows(rows), test=TestRows(rows.iloc[:20]), evaluation=_evaluation(), verdict=YES,
        explanation=Explanation((), "log-odds", 20), champion=Champion(), registration=Registration("d" * 64),
    )  # fmt: skip
    return html.unescape(report.context.artefacts["report.html"].read_text())


def _model() -> Model:
    from sklearn.linear_model import LogisticRegression

    rows = _rows()
    return Model(LogisticRegression().fit(rows[["id"]].to_numpy(float), rows["y"]), ("id",))


def _evaluation() -> Evaluation:
    return Evaluation({"roc_auc": 0.9}, rows=20, positives=10)


def test_in_process_the_report_names_code_and_data(tmp_path: Path) -> None:
    text = _report(Context(root=tmp_path, service="fraud", seed=11))
    assert "not under git" in text and "in process nothing is tracked" in text
    assert frame_digest(_rows()) in text and frame_digest(_rows().iloc[:20]) in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_version_and_the_report_name_commit_fingerprint_and_mlflow_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from carrental_mlops.integrations.mlflow import Tracker, tracking_uri

    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".crm.json").write_text('{"template": "fraud-realtime", "version": "0.3.1"}')
    uri = tracking_uri(tmp_path)
    context = Context("r-1", "training", "register", "fraud", root=tmp_path, seed=11, stores=True)
    with Tracker(uri, "fraud", "r-1").running(context, {"fingerprint": "f" * 64, "trained_by": "ada"}) as run:
        RegisterStep(RegisterConfig(), context).run(
            model=_model(), train=TrainRows(_rows()), evaluation=_evaluation(), verdict=YES, champion=Champion()
        )
        text = _report(Context("r-1", "training", "report", "fraud", root=tmp_path, seed=11, stores=True))

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
    tags = MlflowClient(uri, uri).get_model_version_by_alias("fraud", "champion").tags
    expected = {
        "crm.git_commit": head.stdout.strip(),
        "crm.git_dirty": "true",
        "crm.template_version": "0.3.1",
        "crm.fingerprint": "f" * 64,
        "crm.trained_by": "ada",
        "crm.mlflow_run_id": run,
        "crm.data.train": frame_digest(_rows()),
        "crm.seed": "11",
        "features": "id",
    }
    assert expected.items() <= tags.items()
    assert any(pin.startswith("scikit-learn==") for pin in tags["pip_requirements"].splitlines())
    for value in (head.stdout.strip(), "changes that were not committed", "fraud-realtime 0.3.1", "f" * 64, run):
        assert value in text
