"""How `TrainStep` fits: early stopping on the tune rows, a search within a budget, the most telling single column."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carrental_mlops.core import Context
from carrental_mlops.core.arrays import Floats
from carrental_mlops.data.model import Classifier
from carrental_mlops.errors import ContractError

Space = Mapping[str, Sequence[Any]]
"""Parameter name to a (low, high) tuple or a list of choices."""

MIN_POSITIVES = 50
"""Fewer positive tune rows make average precision too noisy to stop boosting by: all trees are grown."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Matrices (n, columns) float64 and labels (n,) 0 or 1 of the train and tune rows; weights of the train rows."""

    columns: tuple[str, ...]
    x: Floats
    y: NDArray[np.int64]
    tune_x: Floats
    tune_y: NDArray[np.int64]
    weight: Floats | None

    @classmethod
    def of(
        cls, train: pd.DataFrame, tune: pd.DataFrame, columns: tuple[str, ...], label: str, weight: Floats | None
    ) -> TrainingData:
        """From the frames that the split gave."""
        names = list(columns)
        x, tune_x = train[names].to_numpy(np.float64), tune[names].to_numpy(np.float64)
        return cls(columns, x, train[label].to_numpy(np.int64), tune_x, tune[label].to_numpy(np.int64), weight)


@dataclass(frozen=True)
class Budget:
    """What a search may spend; it stops at whichever comes first."""

    trials: int
    seconds: float | None


def fit(estimator: Classifier, data: TrainingData, patience: int) -> None:
    """Fit in place; LightGBM stops once the tune rows' average precision has not risen for `patience` trees.

    With fewer than `MIN_POSITIVES` positive tune rows, or `patience` 0, all trees are grown. A scikit-learn pipeline
    passes the weights to its last step.

    Raises:
        ContractError: the estimator takes no missing values, and there are some.
    """
    import lightgbm

    enough = patience > 0 and int(data.tune_y.sum()) >= MIN_POSITIVES
    if not (enough and isinstance(estimator, lightgbm.LGBMClassifier)):
        _fit_any(estimator, data)
        return
    stop = lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*eval_set.*")  # renamed in 4.7, and 4.6 knows the old name only
        estimator.fit(
            data.x,
            data.y,
            sample_weight=data.weight,
            eval_set=[(data.tune_x, data.tune_y)],
            eval_metric="average_precision",
            callbacks=[stop],
        )


def _fit_any(estimator: Classifier, data: TrainingData) -> None:
    steps = getattr(estimator, "steps", None)
    name = f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
    try:
        estimator.fit(data.x, data.y, **({} if data.weight is None else {name: data.weight}))
    except ValueError as error:
        empty = [c for i, c in enumerate(data.columns) if np.isnan(data.x[:, i]).any()]
        if not empty or "NaN" not in str(error):
            raise
        raise ContractError(
            f"train: `{type(estimator).__name__}` takes no missing values; there are some in {', '.join(empty)}",
            "put an imputer in front in `estimator`: make_pipeline(SimpleImputer(), StandardScaler(), ...), "
            "or return HistGradientBoostingClassifier()",
        ) from error


def most_telling(data: TrainingData) -> tuple[str, float]:
    """The column whose order alone tells the train labels best, and its ROC AUC (0.5 to 1); missing ranks lowest."""
    aucs = [_auc(data.x[:, i], data.y) for i in range(len(data.columns))]
    best = int(np.argmax(aucs))
    return data.columns[best], aucs[best]


def _auc(values: Floats, label: NDArray[np.int64]) -> float:
    positive = label == 1
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return 0.5
    ranks = pd.Series(np.where(np.isnan(values), -np.inf, values)).rank().to_numpy()
    auc = (float(ranks[positive].sum()) - n * (n + 1) / 2) / (n * m)
    return max(auc, 1 - auc)


def tuned(
    estimator: Classifier, space: Space, data: TrainingData, patience: int, budget: Budget, context: Context
) -> dict[str, Any]:
    """The settings with the highest average precision on the tune rows, found by Optuna's TPE from `context.seed`.

    Raises:
        ContractError: `space` names a parameter that `estimator` lacks.
    """
    import optuna
    from sklearn.base import clone
    from sklearn.metrics import average_precision_score

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def value(trial: Any) -> float:
        candidate = _with(clone(estimator), {name: _suggest(trial, name, v) for name, v in space.items()})
        fit(candidate, data, patience)
        score = float(average_precision_score(data.tune_y, candidate.predict_proba(data.tune_x)[:, 1]))
        context.log.info("train: trial %d of %d, average precision %.4f", trial.number + 1, budget.trials, score)
        return score

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=context.seed))
    study.optimize(value, n_trials=budget.trials, timeout=budget.seconds)
    context.metric("tuning_trials", len(study.trials))
    context.metric("tuning_average_precision", study.best_value)
    for name, chosen in study.best_params.items():
        context.param(f"tuned_{name}", chosen)
    return dict(study.best_params)


def _with(estimator: Any, params: Mapping[str, Any]) -> Any:
    try:
        return estimator.set_params(**params)
    except ValueError as error:
        raise ContractError(
            f"train: `{type(estimator).__name__}` has no parameter of those that `search_space` names: {list(params)}",
            "override `search_space` beside `estimator`: crm steps override train --hook search_space",
        ) from error


def _suggest(trial: Any, name: str, values: Sequence[Any]) -> Any:
    if not isinstance(values, tuple):
        return trial.suggest_categorical(name, values)
    low, high = values
    wide = low > 0 and high / low >= 10
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=wide)
    return trial.suggest_float(name, low, high, log=wide)
