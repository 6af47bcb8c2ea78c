"""What hooks are asked with: made-up rows that fit what a repo declares, before and after its features."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from carrental_mlops.config import Columns
from carrental_mlops.core import call
from carrental_mlops.core.arrays import Floats
from carrental_mlops.core.repo import ModelRepo
from carrental_mlops.data.features import FeatureSet, as_numbers
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.data.model import Model
from carrental_mlops.steps.gate import Verdict

_DAYS = 120
_METRICS = ("roc_auc", "average_precision", "brier", "log_loss", "precision", "recall", "cost_eur_per_1000")


@dataclass(frozen=True)
class HookInputs:
    """Arguments for every hook of a repo."""

    source: pd.DataFrame
    """(n, …) as `ingest` reads them: roles and the fields of the schema; times in UTC, rising."""
    rows: pd.DataFrame
    """(n, …) as `features` leaves them: roles, request, stored and computed features; an index with gaps."""
    scores: Floats
    """(n,) probability."""
    label: Floats
    """(n,) 0 or 1."""
    model: Model
    evaluation: Evaluation
    verdict: Verdict
    seed: int

    @property
    def matrix(self) -> Floats:
        """(n, columns) of the features, nothing missing."""
        table = self.rows[list(self.model.columns)].to_numpy(dtype=np.float64)
        return np.clip(np.where(np.isnan(table), 0.0, table), -1e6, 1e6)


def hook_inputs(repo: ModelRepo, count: int = 400, seed: int = 0) -> HookInputs:
    """Rows that fit the columns, the schema and the features of a repo; the same for the same seed.

    Args:
        repo: its pipelines name schema and features; where they name none, the columns of crm.yaml are all there is.
        count: rows.
        seed: of everything made up.

    Raises:
        CrmError: the repo's pipelines cannot be imported, or its features break their contract.
    """
    random = np.random.default_rng(seed)
    columns = repo.config.columns
    steps = [step for pipeline in repo.pipelines().values() for step in pipeline.slots().values()]
    schema = next((s for step in steps if (s := getattr(step, "schema", None)) is not None), None)
    features = next((f for step in steps if (f := getattr(step, "feature_set", None)) is not None), None)
    source = _source(random, columns, schema, features, count)
    rows = _featured(random, source, columns, features)
    rows.index = pd.Index(np.arange(count) * 2 + 3)
    label = source[columns.label].to_numpy(dtype=np.float64)
    roles = {columns.id, columns.time, columns.label, *columns.entities}
    names = tuple(str(n) for n in rows.select_dtypes(["number", "bool"]).columns if n not in roles)
    evaluation = Evaluation(dict.fromkeys(_METRICS, 0.5), rows=count, positives=int(label.sum()))
    model = _prior(names, label)
    return HookInputs(source, rows, random.random(count), label, model, evaluation, Verdict(True, ()), seed)


def _prior(columns: tuple[str, ...], label: Any) -> Model:
    from sklearn.dummy import DummyClassifier

    return Model(DummyClassifier().fit(np.zeros((len(label), max(len(columns), 1))), label), columns)


def _source(
    random: np.random.Generator, columns: Columns, schema: type[BaseModel] | None, features: Any, count: int
) -> pd.DataFrame:
    made: dict[str, Any] = {}
    for name, field in schema.model_fields.items() if schema is not None else ():
        made[name] = _field(random, _plain(field.annotation), dict(_bounds(field.metadata)), count)
    made = {name: values for name, values in made.items() if values is not None}
    for name in features.request if isinstance(features, type) and issubclass(features, FeatureSet) else ():
        made.setdefault(name, random.lognormal(3.0, 1.0, count))
    if columns.amount and columns.amount not in made:
        made[columns.amount] = random.lognormal(3.0, 1.0, count)
    made[columns.id] = np.arange(1, count + 1)
    seconds = 1_700_000_000 + np.sort(random.integers(0, _DAYS * 86_400, count))
    made[columns.time] = pd.to_datetime(seconds, unit="s", utc=True)
    made |= {name: random.integers(1, 30, count) for name in columns.entities}
    made[columns.label] = (np.arange(count) % 5 == 0).astype(np.int64)
    return pd.DataFrame(made)


def _featured(random: np.random.Generator, source: pd.DataFrame, columns: Columns, features: Any) -> pd.DataFrame:
    if not (isinstance(features, type) and issubclass(features, FeatureSet)):
        return source.copy()
    given = {name: as_numbers(source[name].to_numpy()) for name in features.request}
    given |= {name: random.lognormal(1.0, 1.0, len(source)) for name in features.stored_columns()}
    with np.errstate(all="ignore"):
        computed = dict(call(features().compute, columns=given))
    roles = [columns.id, columns.time, columns.label, *columns.entities, *([columns.amount] if columns.amount else [])]
    kept = source[list(dict.fromkeys(roles))]
    added = {name: values for name, values in {**given, **computed}.items() if name not in kept.columns}
    return pd.concat([kept, pd.DataFrame(added, index=source.index, dtype=np.float64)], axis=1)


def _plain(annotation: Any) -> Any:
    """`int` of `int | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((part for part in typing.get_args(annotation) if part is not type(None)), annotation)
    return annotation


def _bounds(metadata: list[Any]) -> Iterator[tuple[str, float]]:
    for item in metadata:
        for name in ("ge", "gt", "le", "lt"):
            value = getattr(item, name, None)
            if isinstance(value, int | float):
                yield name[0], float(value)


def _field(random: np.random.Generator, kind: Any, bounds: dict[str, float], count: int) -> Any:
    """(n,) values of a field, or None where its type is none that a table has as it is."""
    low, high = bounds.get("g", 0.0), bounds.get("l", bounds.get("g", 0.0) + 1000.0)
    if typing.get_origin(kind) is typing.Literal:
        return random.choice(np.array(typing.get_args(kind), dtype=object), count)
    if kind is bool:
        return random.random(count) < 0.5
    if kind is int:
        return random.integers(int(np.floor(low)) + 1, max(int(np.ceil(high)), int(low) + 2), count)
    if kind is float:
        return low + (high - low) * (0.01 + 0.98 * random.random(count))
    if kind is datetime:
        return pd.to_datetime(1_700_000_000 + random.integers(0, _DAYS * 86_400, count), unit="s", utc=True)
    return random.choice(np.array(["a", "b", "c"], dtype=object), count) if kind is str else None
