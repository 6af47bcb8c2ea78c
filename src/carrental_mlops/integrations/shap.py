"""Shapley values of a fitted classifier, by the library that is quickest for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from carrental_mlops.core.arrays import Floats


def tree_contributions(booster: Any, rows: Floats) -> Floats:
    """(n, k) exact Shapley values in log-odds, by LightGBM itself.

    Args:
        booster: a `lightgbm.Booster` with a binary objective.
        rows: (n, k) matrix in the order of the booster's columns.
    """
    return tree_explanation(booster, rows)[0]


def tree_explanation(booster: Any, rows: Floats) -> tuple[Floats, Floats]:
    """`tree_contributions`, and the (n,) base that they add to: together the raw score in log-odds."""
    table = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1), dtype=np.float64)
    return table[:, :-1], table[:, -1]


def sampled_contributions(estimator: Any, rows: Floats, background: Floats, seed: int) -> Floats:
    """(n, k) Shapley values of the probability, by `shap` from permutations of the columns.

    Args:
        estimator: has `predict_proba`.
        rows: (n, k) rows to explain.
        background: (m, k) rows that stand in for an unknown value; a hundred or fewer keeps it quick.
        seed: makes the answer repeatable.
    """
    import shap

    def positive(matrix: Floats) -> Floats:
        return np.asarray(estimator.predict_proba(matrix)[:, 1], dtype=np.float64)

    explainer = shap.explainers.Permutation(positive, shap.maskers.Independent(background, len(background)), seed=seed)
    evaluations = 2 * rows.shape[1] + 1
    return np.asarray(explainer(rows, max_evals=evaluations, silent=True).values, dtype=np.float64)
