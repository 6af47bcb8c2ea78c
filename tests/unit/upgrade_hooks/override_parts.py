"""A repo that overrides a hook, for the tests of what the report says of it."""

from __future__ import annotations

from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport

STEPS = """
    import numpy as np
    import pandas as pd
    from carrental_mlops.steps import TrainStep
    from numpy.typing import NDArray


    class PayTrain(TrainStep):
        def sample_weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64]:
            return np.ones(len(rows))
    """
WEIGHT = "steps/train.py", "def sample_weight(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None:"


def derived(base: str, method: str) -> str:
    """`steps.py` of a repo whose class `Mine` has one method."""
    return f"from carrental_mlops.steps import {base}\nclass Mine({base}):\n    {method}\n"


def only(found: OverrideReport) -> OverrideFinding:
    (finding,) = found.findings
    return finding
