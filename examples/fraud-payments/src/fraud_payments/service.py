"""What the service answers. The batch job and the parity test run this class too."""

from carrental_mlops.serving import ModelService

from fraud_payments.features import FraudFeatures


class FraudService(ModelService):
    """Blocks from the model's threshold on; override `decide` or `reasons` to answer otherwise."""

    feature_set = FraudFeatures
