"""The smallest model repo: what a team writes for the fraud template, less its comments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from carrental_mlops.config import Columns
from carrental_mlops.core import Pipeline, StepConfig, step
from carrental_mlops.data.features import Arrays, FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.pipelines import BatchInferencePipeline, FeaturesPipeline, TrainingPipeline
from carrental_mlops.serving import ModelService
from carrental_mlops.steps import AggregateStep, FeaturesStep, MaterialiseStep, PredictStep, ValidateStep

COLUMNS = Columns(
    id="payment_id",
    time="paid_at",
    label="is_fraud",
    entities=("customer_id", "branch_id"),
    amount="amount_eur",
    label_delay_days=7,
)


class Payment(RowContract):
    payment_id: int
    customer_id: int
    branch_id: int
    paid_at: datetime
    amount_eur: float
    is_fraud: int | None = None


class Habits(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=(7, 30), mean=("amount_eur",)),)
    request = ("amount_eur",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"amount_over_mean": columns["amount_eur"] / columns["customer__amount_eur_mean_30d"]}


class Service(ModelService):
    feature_set = Habits


class Validate(ValidateStep):
    schema = Payment


class Aggregate(AggregateStep):
    feature_set = Habits


class Features(FeaturesStep):
    feature_set = Habits


class Materialise(MaterialiseStep):
    feature_set = Habits


class Predict(PredictStep):
    service = Service


class Training(TrainingPipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    features = step(Features)


class Batch(BatchInferencePipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    features = step(Features)
    predict = step(Predict)


class Tables(FeaturesPipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    materialise = step(Materialise)


def configs(pipeline: type[Pipeline], **values: dict[str, Any]) -> dict[str, StepConfig]:
    """Each slot's config: `values` of the slot, the columns where it has them, 4,000 simulated payments."""
    settings = {"ingest": {"source": "sim://fraud?rows=4000&days=90"}, "train": {"n_estimators": 40, "threads": 1}}
    found = {}
    for slot, cls in pipeline.slots().items():
        model = cls.config_model()
        given = settings.get(slot, {}) | values.get(slot, {})
        if "columns" in model.model_fields:
            given["columns"] = COLUMNS
        found[slot] = model(**given)
    return found
