"""A ModelService held to one answer per row, the same alone as in a batch, and to light imports."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrental_mlops.core.hook import where
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ContractError
from carrental_mlops.serving import ModelService
from carrental_mlops.testing.features import check_features, generated_rows

_HEAVY = ("feast", "mlflow", "pandas", "zenml")


class _Spread:
    """A classifier without training: a score in 0 to 1 from the row's own bits."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _Spread:
        """Nothing to learn."""
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, 2): each row by itself."""
        known = np.nan_to_num(np.asarray(X, dtype=np.float64), posinf=1.0, neginf=-1.0)
        positive = np.zeros(len(known))
        for column in known.T:
            positive = np.abs(np.sin(positive + column))
        return np.column_stack([1.0 - positive, positive])


def check_service(service: type[ModelService], rows: int = 32, seed: int = 0) -> None:
    """Hold a service: its features, an answer per row, each row's answer alone as in the batch, light imports.

    Args:
        service: the repo's class.
        rows: how many requests to generate.
        seed: of the generated requests.

    Raises:
        ContractError: names the class, its file and line, and the mend.
    """
    at = f"`{service.__name__}` ({where(service)})"
    features = getattr(service, "feature_set", None)
    if not (isinstance(features, type) and issubclass(features, FeatureSet)):
        raise ContractError(f"{at} names no FeatureSet", "feature_set = YourFeatures")
    check_features(features, rows, seed)
    given = generated_rows(features, rows, seed)
    _check_answers(service(_model(features, given)), given, rows, at)
    _check_light(service, at)


def _model(features: type[FeatureSet], given: dict[str, NDArray[np.float64]]) -> Model:
    with np.errstate(all="ignore"):
        made = features().compute(columns=given)
    return Model(_Spread(), (*given, *made), threshold=0.5)


def _check_answers(service: ModelService, given: dict[str, NDArray[np.float64]], rows: int, at: str) -> None:
    fix = "decide and reasons return one value per row, from that row alone"
    with np.errstate(all="ignore"):
        whole = service.answer(given)
        single = [service.answer({k: v[n : n + 1] for k, v in given.items()}) for n in range(rows)]
    for name in ("scores", "decisions", "reasons"):
        found = getattr(whole, name)
        if len(found) != rows:
            raise ContractError(f"{at} gives {len(found)} {name} for {rows} rows", fix)
        for n, alone in enumerate(single):
            if len(getattr(alone, name)) != 1 or getattr(alone, name)[0] != found[n]:
                said = f"{getattr(alone, name)!r} alone, {found[n]!r} in a batch"
                raise ContractError(f"{at}: {name} of row {n} is {said}", fix)


def _check_light(service: type[ModelService], at: str) -> None:
    code = f"import sys, {service.__module__}; print(*sorted({set(_HEAVY)!r} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - this Python
    if done.returncode:
        raise ContractError(
            f"{at} cannot be imported in a fresh process: {done.stderr.strip()[-400:]}", "mend the import"
        )
    if done.stdout.strip():
        fix = "import them in pipelines.py or feature_views.py only; the serving image has none of them"
        raise ContractError(f"importing {service.__module__} loads {done.stdout.strip()}", fix)
