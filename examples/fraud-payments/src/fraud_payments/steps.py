"""Where fraud-payments differs from the default steps: it weighs a payment by the money at stake."""

import numpy as np
import pandas as pd
from carrental_mlops.steps import TrainConfig, TrainStep
from numpy.typing import NDArray


class FraudPaymentsTrainConfig(TrainConfig):
    weight_floor: float = 0.2
    """Least weight of a small payment (fraction of a large one's)."""


class FraudPaymentsTrain(TrainStep):
    """The default, with a weight per payment."""

    config: FraudPaymentsTrainConfig

    def sample_weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Rank of the amount among all (fraction), never under the floor."""
        share = rows["amount_eur"].rank(pct=True).to_numpy(dtype=np.float64)
        return np.maximum(share, self.config.weight_floor)
