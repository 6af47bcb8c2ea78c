"""Which features move the score, and which way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from carrental_mlops.core import Step, StepConfig, call, hook
from carrental_mlops.data.model import Model
from carrental_mlops.steps.tables import TestRows

_BACKGROUND_ROWS = 50
_SAMPLED_ROWS = 100


class ExplainConfig(StepConfig):
    """How much is explained."""

    rows: int = Field(default=1000, gt=0)
    """Rows behind the summary; an estimator other than LightGBM uses at most 100 of them."""


@dataclass(frozen=True)
class Importance:
    """One feature's part in the scores."""

    feature: str
    mean_abs: float
    """Mean size of its Shapley value, in the explanation's `unit`."""
    direction: float
    """Correlation of the value with its Shapley value, -1 to 1; positive: more of it raises the score."""


@dataclass(frozen=True)
class Explanation:
    """Features by importance, the greatest first."""

    features: tuple[Importance, ...] = ()
    rows: int = 0
    unit: str = ""
    """`log-odds` or `probability`, before calibration."""


def _positions(result: Any, given: dict[str, Any]) -> str | None:
    array = np.asarray(result)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        return f"returned {array.dtype} of shape {array.shape}, not row positions"
    n = len(given["rows"])
    return None if array.min() >= 0 and array.max() < n else f"returned positions outside 0 to {n - 1}"


class ExplainStep(Step):
    """SHAP summary: exact for LightGBM, by permutations otherwise. Hooks: `background`."""

    config: ExplainConfig

    @final
    def run(self, *, model: Model, test: TestRows) -> Explanation:
        """Mean absolute Shapley value and direction of every feature, on rows of `test`.

        Raises:
            ContractError: `background` returned something else.
        """
        from carrental_mlops.integrations.shap import sampled_contributions, tree_contributions

        positions = np.asarray(call(self.background, rows=test, seed=self.context.seed))
        matrix = test.iloc[positions][list(model.columns)].to_numpy(dtype=np.float64)
        if model.booster is not None:
            values, unit = tree_contributions(model.booster, matrix), "log-odds"
        else:
            matrix, around = matrix[:_SAMPLED_ROWS], matrix[:_BACKGROUND_ROWS]
            values = sampled_contributions(model.estimator, matrix, around, self.context.seed)
            unit = "probability"
        explanation = Explanation(_ranked(model.columns, matrix, values), len(matrix), unit)
        self.context.artefact("importance.json").write_text(json.dumps(asdict(explanation), indent=1))
        return explanation

    @hook(since="0.1", returns="(m,) positions of the rows of `rows` to explain", check=_positions)
    def background(self, *, rows: pd.DataFrame, seed: int) -> NDArray[np.int64]:
        """Default: a random sample of `rows` in crm.yaml's size.

        Args:
            rows: (n, …) test rows.
            seed: of the run.
        """
        size = min(self.config.rows, len(rows))
        return np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False)).astype(np.int64)


def _ranked(
    columns: tuple[str, ...], matrix: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[Importance, ...]:
    found = [
        Importance(name, float(np.abs(values[:, i]).mean()), _correlation(matrix[:, i], values[:, i]))
        for i, name in enumerate(columns)
    ]
    return tuple(sorted(found, key=lambda one: -one.mean_abs))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
