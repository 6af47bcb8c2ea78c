"""A ModelService held to one answer per row, the same alone, in a batch and served, in a time that fits a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from carrental_mlops.core.arrays import Floats
from carrental_mlops.core.hook import where
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.errors import ContractError
from carrental_mlops.integrations.fresh_python import fresh_python
from carrental_mlops.serving import ModelService
from carrental_mlops.testing.check import Check, hold_all
from carrental_mlops.testing.fakes.models import FakeClassifier
from carrental_mlops.testing.features import feature_checks, generated_rows
from carrental_mlops.testing.made_up import made_up_rows

_HEAVY = ("feast", "mlflow", "pandas", "zenml")
_ROUNDS, _CALLS = 5, 8
MOST_TIMES = 50.0
"""An answer to one row may take so many times as long as LightGBM's score of that row (some 10 µs).

The default takes 5 times as long, ten numpy calls in a hook 10 times, a DataFrame or a file 100 times and more."""


def check_service(
    service: type[ModelService], rows: int = 32, seed: int = 0, *, label: str | None = None, quick: bool = False
) -> None:
    """Hold a service: each of `service_checks`.

    Args:
        service: the repo's class.
        rows: how many requests to generate.
        seed: of the generated requests.
        label: the column of the schema that no request has.
        quick: leave out the server on a socket and the latency.

    Raises:
        ContractError: names the class, its file and line, and the mend.
    """
    hold_all(service_checks(service, rows, seed, label), quick)


def service_checks(service: type[ModelService], rows: int = 32, seed: int = 0, label: str | None = None) -> list[Check]:
    """What is held of a service; over a socket only where it names a schema. Arguments as of `check_service`."""
    name, at = service.__name__, f"`{service.__name__}` ({where(service)})"
    features = getattr(service, "feature_set", None)
    if not (isinstance(features, type) and issubclass(features, FeatureSet)):
        return [Check(name, "names its features", lambda: _refuse_without(at))]
    found = [
        *feature_checks(features, rows, seed),
        Check(name, "answers each row alone as among others", lambda: _check_answers(service, rows, seed, at)),
        Check(name, "answers in a time that fits a request", lambda: _check_latency(service, seed, at), quick=False),
        Check(name, "imports nothing heavy", lambda: _check_light(service, at)),
    ]
    if hasattr(service, "schema"):
        hold = {
            "answers over a socket what it answers offline": lambda: _check_served(service, rows, seed, label, False),
        }
        if any(history.entity in service.schema.model_fields for history in features.history) and not features.stored:
            hold["answers the same with stored features read by entity id"] = lambda: _check_served(
                service, rows, seed, label, True
            )
        found += [Check(name, what, one, quick=False) for what, one in hold.items()]
    return found


def _refuse_without(at: str) -> None:
    raise ContractError(f"{at} names no FeatureSet", "feature_set = YourFeatures")


def _model(service: type[ModelService], given: dict[str, Floats]) -> Model:
    features = service.feature_set
    needed = {name: given[name] for name in (*features.request, *features.stored_columns())}
    with np.errstate(all="ignore"):
        made = features().compute(columns=needed)
    return Model(FakeClassifier(), (*needed, *made), threshold=0.5)


def _inputs(service: type[ModelService], rows: int, seed: int) -> dict[str, Floats]:
    """(rows,) of every field: made up from the schema where it declares one, else numbers of all kinds."""
    given = generated_rows(service.feature_set, rows, seed)
    for n, name in enumerate(service.decision_fields):
        given.setdefault(name, np.random.default_rng((seed, n)).integers(0, 1000, rows).astype(np.float64))
    return given


def _check_answers(service: type[ModelService], rows: int, seed: int, at: str) -> None:
    fix = "decide and reasons return one value per row, from that row alone"
    given = _inputs(service, rows, seed)
    made = service(_model(service, given))
    with np.errstate(all="ignore"):
        whole = made.answer(given)
        single = [made.answer({k: v[n : n + 1] for k, v in given.items()}) for n in range(rows)]
    for name in ("scores", "decisions", "reasons"):
        found = getattr(whole, name)
        if len(found) != rows:
            raise ContractError(f"{at} gives {len(found)} {name} for {rows} rows", fix)
        for n, alone in enumerate(single):
            if len(getattr(alone, name)) != 1 or getattr(alone, name)[0] != found[n]:
                said = f"{getattr(alone, name)!r} alone, {found[n]!r} in a batch"
                raise ContractError(f"{at}: {name} of row {n} is {said}", fix)


def _check_served(service: type[ModelService], rows: int, seed: int, label: str | None, by_id: bool) -> None:
    import pandas as pd

    from carrental_mlops.testing.fakes import FakeReader
    from carrental_mlops.testing.parity import check_serving

    made = pd.DataFrame(made_up_rows(service.schema, rows, seed, (label,) if label else ()))
    stored, reader = generated_rows(service.feature_set, rows, seed), None
    for history in service.feature_set.history if by_id else ():
        made[history.entity] = made[history.entity].fillna(made[history.entity].dropna().iloc[0])
        first = {identity: n for n, identity in reversed(list(enumerate(made[history.entity].tolist())))}
        places = [first[identity] for identity in made[history.entity].tolist()]
        for name in history.features():
            stored[f"{history.view}__{name}"] = stored[f"{history.view}__{name}"][places]
    table = made.assign(**{name: stored[name] for name in service.feature_set.stored_columns()})
    if by_id:
        reader = FakeReader.of(service.feature_set, table)
    numbers = {name: _number(table, name) for name in (*service.feature_set.request, *stored) if name in table}
    lacking = {name: np.zeros(rows) for name in service.fields() if name not in numbers}
    with np.errstate(all="ignore"):
        check_serving(service, _model(service, {**lacking, **numbers}), table, label=label, reader=reader)


def _number(table: Any, name: str) -> Floats:
    from carrental_mlops.data.features import as_numbers

    return as_numbers(table[name].to_numpy())


def _check_latency(service: type[ModelService], seed: int, at: str) -> None:
    given = _inputs(service, 64, seed)
    model = _booster(_model(service, given).columns)
    made, row = service(model), {name: values[:1] for name, values in given.items()}
    with np.errstate(all="ignore"):
        columns = made.scored(row)[1]
        times = ratio(lambda: made.answer(row), lambda: model.score(columns))
    if times > MOST_TIMES:
        what = f"{at} takes {times:.0f} times as long to answer a row as LightGBM to score it, {MOST_TIMES:.0f} at most"
        raise ContractError(what, "read files and build tables once, in a module value; use numpy on the row's arrays")


def ratio(slow: Callable[[], Any], quick: Callable[[], Any]) -> float:
    """How many times as long `slow` takes as `quick`: of each the least of several turns taken in turn.

    A busy machine slows both, and the least of several turns is the one that it slowed least.
    """
    slow()
    quick()
    least = [float("inf"), float("inf")]
    for _ in range(_ROUNDS):
        for n, call in enumerate((slow, quick)):
            begun = time.perf_counter()
            for _ in range(_CALLS):
                call()
            least[n] = min(least[n], time.perf_counter() - begun)
    return least[0] / least[1]


def _booster(columns: tuple[str, ...]) -> Model:
    import lightgbm

    random = np.random.default_rng(0)
    rows = random.normal(size=(400, len(columns)))
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": 8}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, (rows[:, 0] > 0).astype(int)), 20)
    return Model(LightGbm(booster), columns, threshold=0.5)


def _check_light(service: type[ModelService], at: str) -> None:
    code = f"import sys, {service.__module__}; print(*sorted({set(_HEAVY)!r} & set(sys.modules)))"
    done = fresh_python(["-c", code])
    if done.returncode:
        raise ContractError(
            f"{at} cannot be imported in a fresh process: {done.stderr.strip()[-400:]}", "mend the import"
        )
    if done.stdout.strip():
        fix = "import them in pipelines.py or feature_views.py only; the serving image has none of them"
        raise ContractError(f"{at}: importing {service.__module__} loads {done.stdout.strip()}", fix)
