"""What the service answers. The batch job and the parity test run this class too."""

from carrental_mlops.serving import ModelService

from fraud_payments.features import FraudFeatures
from fraud_payments.schema import Payment


class FraudService(ModelService):
    """Blocks from the model's threshold on; override `rules`, `decide` or `reasons` to answer otherwise."""

    feature_set = FraudFeatures
    schema = Payment
