"""The defaults are worth what issue 3 asks: handbook payments, real card payments, simulated payments."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml
from sklearn.metrics import average_precision_score

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger(__name__)
CRM = Path(sys.executable).with_name("crm")


def _data(name: str) -> Path:
    path = Path(os.environ.get("CRM_DATA_DIR", "")) / name / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"no {name}.parquet: set CRM_DATA_DIR to the folder that holds {name}/")
    return path.resolve()


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _crm(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([CRM, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _new(folder: Path) -> Path:
    _crm("new", "--template", "fraud-realtime", "--name", "fraud-payments", "--no-input", cwd=folder)
    return folder / "fraud-payments"


def _trained(repo: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_crm("run", "training", "--json", *more, cwd=repo))
    return found


def test_the_untouched_template_reaches_the_handbook_baseline(tmp_path: Path) -> None:
    data = _data("fraud_handbook_sim")
    mapping = yaml.safe_load((ROOT / "examples" / "mappings" / "fraud_handbook_sim.yaml").read_text())
    repo = _new(tmp_path)
    values = {"steps.ingest.source": str(data)} | mapping
    _crm("config", "set", *(f"{k}={json.dumps(v, default=str)}" for k, v in values.items()), cwd=repo)
    run = _trained(repo)
    roc_auc, precision = run["metrics"]["roc_auc"], run["metrics"]["average_precision"]
    log.info("ROC AUC %.4f, average precision %.4f", roc_auc, precision)
    assert run["refused"] is None and roc_auc >= 0.883 and precision >= 0.711


def test_the_train_step_reaches_the_baseline_on_real_card_payments() -> None:
    example, rows = _example("ulb_creditcard"), pd.read_parquet(_data("ulb_creditcard_sample"))
    folds = [fold for seed in example.SEEDS for fold in example.cross_validate(rows, seed)]
    mean = sum(precision for precision, _ in folds) / len(folds)
    log.info("mean average precision %.4f over %d folds", mean, len(folds))
    assert len(folds) == 20 and mean >= 0.865


@pytest.mark.parametrize("seed", range(5))
def test_the_untouched_template_is_worth_what_the_simulator_promises(tmp_path: Path, seed: int) -> None:
    from carrental_mlops.data.simulator import FraudSimulation

    source = f"steps.ingest.source=sim://fraud?seed={seed}"
    run = _trained(_new(tmp_path), "--engine", "local", "--set", source)
    rows = FraudSimulation(seed=seed).frame()
    later = rows[rows["paid_at"] >= rows["paid_at"].max() - (rows["paid_at"].max() - rows["paid_at"].min()) * 0.1]
    amount_only = average_precision_score(later["is_fraud"], later["amount_eur"])
    log.info("seed %d: %.3f, amount alone %.3f", seed, run["metrics"]["average_precision"], amount_only)
    assert 0.55 <= run["metrics"]["average_precision"] <= 0.85
    assert amount_only < 0.30
