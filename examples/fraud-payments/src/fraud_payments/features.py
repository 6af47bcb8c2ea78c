"""What the model sees, in training and in production alike. No pandas, no Feast here: the service imports it."""

import numpy as np
from carrental_mlops.data.features import Arrays, FeatureSet, History


class FraudFeatures(FeatureSet):
    """Habits of the customer and the branch up to last midnight, and how this payment differs from them."""

    history = (
        History(view="customer_history", entity="customer_id", days=(1, 7, 30), mean=("amount_eur",), label_rate=True),
        History(view="branch_history", entity="branch_id", days=(1, 7, 30), label_rate=True),
    )
    request = ("amount_eur", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        """The amount against the customer's habit; the hour of day and the day of week (UTC)."""
        days, seconds = np.divmod(columns["paid_at"], 86_400)
        return {
            "amount_over_mean_7d": columns["amount_eur"] / columns["customer_history__amount_eur_mean_7d"],
            "amount_over_mean_30d": columns["amount_eur"] / columns["customer_history__amount_eur_mean_30d"],
            "hour": seconds / 3_600,
            "weekday": (days + 3) % 7,
        }
