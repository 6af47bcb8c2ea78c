"""Feast's side: the views that hold the stored features. Only pipelines import it; add views of your own to VIEWS."""

from typing import Any

from carrental_mlops.integrations.feast import history_views

from fraud_payments.features import FraudFeatures

VIEWS: list[Any] = history_views(FraudFeatures)
