"""A FeatureSet held to one row and a thousand giving the same bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from carrental_mlops.core import call
from carrental_mlops.core.arrays import Floats
from carrental_mlops.core.hook import where
from carrental_mlops.data.features import Arrays, FeatureSet
from carrental_mlops.errors import ContractError
from carrental_mlops.testing.check import Check, hold_all

_FIX = "make `compute` element-wise: numpy functions of each row alone, no sums, no sorting, no state"


def generated_rows(feature_set: type[FeatureSet], rows: int, seed: int = 0) -> dict[str, Floats]:
    """Made-up input of `compute`: amounts, counts, seconds since 1970, zeros, negative and missing values.

    Returns:
        Each request field and stored feature, (rows,) float64.
    """
    random = np.random.default_rng(seed)
    names = (*feature_set.request, *feature_set.stored_columns())
    return {name: _mixed(random, rows) for name in dict.fromkeys(names)}


def check_features(feature_set: type[FeatureSet], rows: int = 64, seed: int = 0) -> None:
    """Hold `compute`: lengths kept, input untouched, no state, and one row at a time equal to all at once, bit for bit.

    Args:
        feature_set: the repo's class.
        rows: how many to generate.
        seed: of the generated rows; the message names the row and the values.

    Raises:
        ContractError: names the feature, the row and the mend.
    """
    hold_all(feature_checks(feature_set, rows, seed))


def feature_checks(feature_set: type[FeatureSet], rows: int = 64, seed: int = 0) -> list[Check]:
    """What is held of a set of features; arguments as of `check_features`."""
    at = f"`{feature_set.__name__}.compute` ({where(feature_set.compute)})"

    def whole() -> tuple[dict[str, Floats], Mapping[str, Floats]]:
        given = generated_rows(feature_set, rows, seed)
        return given, _compute(feature_set(), given)

    def shapes() -> None:
        given, made = whole()
        _check_shapes(made, given, rows, at)

    def again() -> None:
        given, made = whole()
        _check_equal(made, _compute(feature_set(), given), at, "a second instance")

    def alone() -> None:
        given, made = whole()
        features = feature_set()
        single = [_compute(features, {k: v[n : n + 1] for k, v in given.items()}) for n in range(rows)]
        joined = {name: np.concatenate([np.asarray(row[name]) for row in single]) for name in made if rows}
        _check_equal(made, joined, at, "one row at a time")

    held = {
        "gives a number per row and leaves its input as it is": shapes,
        "answers the same again": again,
        "answers one row as among others": alone,
    }
    return [Check(feature_set.__name__, name, hold) for name, hold in held.items()]


def _mixed(random: np.random.Generator, rows: int) -> Floats:
    kinds = np.stack([
        random.lognormal(3.0, 1.5, rows),
        random.integers(0, 50, rows).astype(np.float64),
        1.7e9 + 3e7 * random.random(rows),
        np.zeros(rows),
        -random.random(rows),
        np.full(rows, np.nan),
    ])  # fmt: skip
    chosen = random.choice(len(kinds), rows, p=(0.4, 0.3, 0.1, 0.1, 0.05, 0.05))
    return np.ascontiguousarray(kinds[chosen, np.arange(rows)])


def _compute(features: FeatureSet, given: Arrays) -> Mapping[str, Floats]:
    with np.errstate(all="ignore"):
        made: Mapping[str, Floats] = call(features.compute, columns=given)
    return made


def _check_shapes(made: Mapping[str, Floats], given: Arrays, rows: int, at: str) -> None:
    for name, column in made.items():
        shape = np.shape(column)
        if shape != (rows,):
            raise ContractError(f"{at}: `{name}` has shape {shape} for {rows} rows", "return one value per row")
        if name in given:
            raise ContractError(f"{at}: `{name}` is an input as well", "give the new column a name of its own")
        if not np.issubdtype(np.asarray(column).dtype, np.number) and np.asarray(column).dtype != np.bool_:
            raise ContractError(f"{at}: `{name}` is {np.asarray(column).dtype}, not numeric", "return numbers")


def _check_equal(whole: Mapping[str, Floats], other: Mapping[str, Floats], at: str, how: str) -> None:
    if whole.keys() != other.keys():
        raise ContractError(f"{at}: {how} gives {sorted(other)}, all at once {sorted(whole)}", _FIX)
    for name, column in whole.items():
        differs = np.flatnonzero(_bits(column) != _bits(other[name]))
        if len(differs):
            n = int(differs[0])
            found = f"{other[name][n]!r} by {how}, {column[n]!r} all at once"
            raise ContractError(f"{at}: `{name}` in row {n} is {found}", _FIX)


def _bits(column: Floats) -> NDArray[np.int64]:
    """The bits of each value, every missing one alike."""
    values = np.array(column, dtype=np.float64)
    values[np.isnan(values)] = np.nan
    return values.view(np.int64)
