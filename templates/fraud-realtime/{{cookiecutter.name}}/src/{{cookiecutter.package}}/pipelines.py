"""Which steps this service runs. `crm pipelines show training` draws them."""

from carrental_mlops.core import step
from carrental_mlops.pipelines import BatchInferencePipeline, FeaturesPipeline, TrainingPipeline
from carrental_mlops.steps import AggregateStep, FeaturesStep, GateStep, MaterialiseStep, PredictStep, ValidateStep

from {{ cookiecutter.package }}.features import FraudFeatures
from {{ cookiecutter.package }}.schema import Payment
from {{ cookiecutter.package }}.service import FraudService


class Validate(ValidateStep):
    schema = Payment


class Aggregate(AggregateStep):
    feature_set = FraudFeatures


class Features(FeaturesStep):
    feature_set = FraudFeatures


class Gate(GateStep):
    service = FraudService


class Materialise(MaterialiseStep):
    feature_set = FraudFeatures


class Predict(PredictStep):
    service = FraudService


class FraudTraining(TrainingPipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    features = step(Features)
    gate = step(Gate)


class FraudBatch(BatchInferencePipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    features = step(Features)
    predict = step(Predict)


class FraudFeatureTables(FeaturesPipeline):
    validate = step(Validate)
    aggregate = step(Aggregate)
    materialise = step(Materialise)
