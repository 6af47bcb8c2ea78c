"""What the service answers. The batch job and the parity test run this class too."""

from carrental_mlops.serving import ModelService

from {{ cookiecutter.package }}.features import FraudFeatures
from {{ cookiecutter.package }}.schema import Payment


class FraudService(ModelService):
    """Blocks from the model's threshold on; override `rules`, `decide` or `reasons` to answer otherwise."""

    feature_set = FraudFeatures
    schema = Payment
