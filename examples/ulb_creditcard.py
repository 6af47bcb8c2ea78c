"""`TrainStep` without ids, times or entities: 5-fold average precision on real card payments, over four seeds.

The sample's prevalence is not natural and it is no time series, so folds are stratified, and the tune rows that stop
boosting early are a part of each fold's train rows. Run: `python examples/ulb_creditcard.py [FILE.parquet]`; without a
file it is read from the folder in CRM_DATA_DIR.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.steps import TrainConfig, TrainStep
from carrental_mlops.steps.tables import TrainRows, TuneRows

COLUMNS = Columns(id="row", time="Time", label="Class", entities=())
SEEDS = (0, 1, 2, 3)


def main() -> int:
    default = Path(os.environ.get("CRM_DATA_DIR", "data")) / "ulb_creditcard_sample" / "ulb_creditcard_sample.parquet"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    if not path.is_file():
        print(f"{path} not found: name the file, or set CRM_DATA_DIR", file=sys.stderr)
        return 1
    rows = pd.read_parquet(path)
    folds = [(seed, *score) for seed in SEEDS for score in cross_validate(rows, seed)]
    table = pd.DataFrame(folds, columns=["seed", "average_precision", "roc_auc"]).groupby("seed").mean()
    print(table.round(4).to_string())
    print(f"mean of {len(SEEDS)} seeds: average precision {table['average_precision'].mean():.4f}, "
          f"ROC AUC {table['roc_auc'].mean():.4f}")  # fmt: skip
    return 0


def cross_validate(rows: pd.DataFrame, seed: int) -> list[tuple[float, float]]:
    """Average precision and ROC AUC of each of five folds."""
    scores = []
    for at, left in StratifiedKFold(5, shuffle=True, random_state=seed).split(rows, rows["Class"]):
        fit, tune = train_test_split(at, test_size=0.15, stratify=rows["Class"].iloc[at], random_state=seed)
        step = TrainStep(TrainConfig(columns=COLUMNS), Context(seed=seed))
        model = step.run(train=TrainRows(rows.iloc[fit]), tune=TuneRows(rows.iloc[tune]))
        test = rows.iloc[left]
        label, found = test["Class"].to_numpy(), model.score(test)
        scores.append((float(average_precision_score(label, found)), float(roc_auc_score(label, found))))
    return scores


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main())
