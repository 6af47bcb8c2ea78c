"""Fakes of what a model is made of: a classifier and a calibrator that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class FakeClassifier:
    """A classifier (`data.model.Classifier`) without training: a score in 0 to 1 from the row's own bits."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> FakeClassifier:
        """Nothing to learn."""
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, 2): each row by itself."""
        known = np.nan_to_num(np.asarray(X, dtype=np.float64), posinf=1.0, neginf=-1.0)
        positive = np.zeros(len(known))
        for column in known.T:
            positive = np.abs(np.sin(positive + column))
        return np.column_stack([1.0 - positive, positive])


class FakeCalibrator:
    """A calibrator (`steps.calibrate.Calibrator`) that keeps the raw score, within 0 and 1."""

    def fit(self, X: Any, y: Any) -> FakeCalibrator:
        """Nothing to learn."""
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(n,) raw scores, cut at 0 and 1."""
        return np.clip(np.asarray(X, dtype=np.float64), 0.0, 1.0)
