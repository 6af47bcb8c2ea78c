"""Scores that are probabilities."""

from __future__ import annotations

from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.core import Step, StepConfig, call, hook
from carrental_mlops.core.arrays import Floats
from carrental_mlops.data.model import Calibration, Model
from carrental_mlops.steps.tables import TuneRows

_RANK_SHARE = 1e-6
"""Share of the raw score kept in the probability, so that plateaus keep the model's order."""


@runtime_checkable
class Calibrator(Protocol):
    """What maps a raw score to a probability; scikit-learn's `IsotonicRegression` is one."""

    def fit(self, X: Any, y: Any) -> Any:
        """Learn from (n,) raw scores and (n,) labels 0 and 1."""
        ...

    def predict(self, X: Any) -> Any:
        """(n,) probabilities of (n,) raw scores, never falling as the score rises."""
        ...


class CalibrateConfig(StepConfig):
    """How scores become probabilities."""

    method: Literal["isotonic", "sigmoid", "none"] = "isotonic"
    """What the default `calibrator` is; `none` keeps the raw scores."""
    min_positives: int = Field(default=50, ge=1)
    """With fewer positive tune rows the raw scores are kept."""
    columns: Columns
    """Filled from the top level of crm.yaml."""


def _a_calibrator(result: Any, given: dict[str, Any]) -> str | None:
    fine = result is None or (isinstance(result, Calibrator) and not isinstance(result, type))
    return None if fine else f"returned {result!r}, which has no fit and predict"


class CalibrateStep(Step):
    """Learns raw score to probability on the tune rows. Hooks: `calibrator`."""

    config: CalibrateConfig

    @final
    def run(self, *, model: Model, tune: TuneRows) -> Model:
        """`model` with its calibration; unchanged with too few positives or negatives, which the log says.

        Raises:
            ContractError: `calibrator` returned something else, or what it predicts is not finite.
        """
        label = tune[self.config.columns.label].to_numpy(dtype=np.float64)
        rarer = int(min(label.sum(), len(label) - label.sum()))
        calibrator = call(self.calibrator)
        if calibrator is None or rarer < self.config.min_positives:
            why = "none chosen" if calibrator is None else f"only {rarer} tune rows of the rarer label"
            self.context.log.warning("calibrate: raw scores kept, %s", why)
            self.context.param("calibration", f"identity: {why}")
            return model.calibrated(None)
        raw = model.calibrated(None).score(tune)
        calibration = fitted(calibrator, raw, label)
        self.context.param("calibration", type(calibrator).__name__.strip("_").lower())
        self.context.metric("tune_brier_raw", float(np.mean((raw - label) ** 2)))
        self.context.metric("tune_brier", float(np.mean((calibration.apply(raw) - label) ** 2)))
        return model.calibrated(calibration)

    @hook(since="0.1", returns="an unfitted calibrator with fit and predict, or None", check=_a_calibrator)
    def calibrator(self) -> Calibrator | None:
        """Default: what `method` names."""
        if self.config.method == "none":
            return None
        if self.config.method == "sigmoid":
            return _Sigmoid()
        from sklearn.isotonic import IsotonicRegression

        isotonic: Calibrator = IsotonicRegression(out_of_bounds="clip")
        return isotonic


class _Sigmoid:
    """Platt's logistic curve over the log-odds of the score."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> None:
        from sklearn.linear_model import LogisticRegression

        self._regression = LogisticRegression(C=1e6).fit(_log_odds(X), y)

    def predict(self, X: ArrayLike) -> Floats:
        return np.asarray(self._regression.predict_proba(_log_odds(X))[:, 1], dtype=np.float64)


def fitted(calibrator: Calibrator, raw: Floats, label: Floats) -> Calibration:
    """`calibrator`, fitted on (n,) `raw` scores in [0, 1] and `label`, as strictly rising knots.

    Rising strictly, it changes no ranking; no probability is 0 or 1, which n rows cannot prove.
    """
    calibrator.fit(raw, label)
    knots = np.asarray(getattr(calibrator, "X_thresholds_", np.quantile(raw, np.linspace(0, 1, 201))))
    x = np.unique(np.concatenate([[0.0, 1.0], knots]))
    bound = 1 / (len(raw) + 2)
    y = np.clip(np.asarray(calibrator.predict(x), dtype=np.float64), bound, 1 - bound)
    y = np.maximum.accumulate(y) * (1 - _RANK_SHARE) + x * _RANK_SHARE
    return Calibration(tuple(map(float, x)), tuple(map(float, y)))


def _log_odds(scores: ArrayLike) -> Floats:
    clipped = np.clip(np.asarray(scores, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(clipped / (1 - clipped))[:, None], dtype=np.float64)
