"""The peer of `first_training.py`: what a team writes today, with ZenML's and MLflow's defaults."""

from __future__ import annotations

from typing import Annotated

import mlflow
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from zenml import pipeline, step

from carrental_mlops.config import Columns
from carrental_mlops.data.aggregate import aggregate, join_as_of
from carrental_mlops.data.features import History
from carrental_mlops.data.simulator import FraudSimulation

COLUMNS = Columns(
    id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id", "branch_id"), label_delay_days=7
)
HISTORY = (
    History(view="customer_history", entity="customer_id", mean=("amount_eur",), label_rate=True),
    History(view="branch_history", entity="branch_id", label_rate=True),
)


@step
def ingest() -> pd.DataFrame:
    return FraudSimulation().frame()


@step
def features(rows: pd.DataFrame) -> pd.DataFrame:
    return join_as_of(rows, aggregate(rows, HISTORY, COLUMNS), HISTORY, COLUMNS)


@step
def split(rows: pd.DataFrame) -> tuple[Annotated[pd.DataFrame, "train"], Annotated[pd.DataFrame, "test"]]:
    rows = rows.sort_values("paid_at")
    cut = int(len(rows) * 0.8)
    return rows.iloc[:cut], rows.iloc[cut:]


@step
def train(rows: pd.DataFrame) -> LGBMClassifier:
    drop = ["payment_id", "customer_id", "branch_id", "paid_at", "is_fraud"]
    return LGBMClassifier(n_estimators=200, verbose=-1).fit(rows.drop(columns=drop), rows["is_fraud"])


@step
def evaluate(model: LGBMClassifier, rows: pd.DataFrame) -> dict[str, float]:
    scores = model.predict_proba(rows[list(model.feature_name_)])[:, 1]
    label = rows["is_fraud"].to_numpy(dtype=np.int64)
    return {"roc_auc": float(roc_auc_score(label, scores)), "ap": float(average_precision_score(label, scores))}


@step
def register(model: LGBMClassifier, metrics: dict[str, float]) -> str:
    with mlflow.start_run():
        mlflow.log_metrics(metrics)
        info = mlflow.lightgbm.log_model(model, name="model", registered_model_name="fraud")
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("fraud", "champion", str(info.registered_model_version))
    return str(info.registered_model_version)


@pipeline
def training() -> None:
    parts = split(features(ingest()))
    model = train(parts[0])
    register(model, evaluate(model, parts[1]))


if __name__ == "__main__":
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    training()
