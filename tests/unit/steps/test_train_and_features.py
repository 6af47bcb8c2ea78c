"""From simulated payments to a model: what the defaults reach, and what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.features import Arrays, FeatureSet, History
from carrental_mlops.data.model import Classifier, Model
from carrental_mlops.data.simulator import FraudSimulation
from carrental_mlops.errors import ContractError, DataError
from carrental_mlops.steps.aggregate import AggregateConfig, AggregateStep
from carrental_mlops.steps.features import FeaturesConfig, FeaturesStep, own_views
from carrental_mlops.steps.split import Split, SplitConfig, SplitStep
from carrental_mlops.steps.tables import ValidRows
from carrental_mlops.steps.train import TrainConfig, TrainStep


class Fraud(FeatureSet):
    history = (
        History(view="customer", entity="customer_id", mean=("amount_eur",), label_rate=True),
        History(view="branch", entity="branch_id", label_rate=True),
    )
    request = ("amount_eur", "paid_at")

    def compute(self, *, columns: Arrays) -> Arrays:
        return {
            "over_mean": columns["amount_eur"] / columns["customer__amount_eur_mean_30d"],
            "hour": columns["paid_at"] % 86_400 / 3_600,
        }


class Leaky(Fraud):
    request = ("amount_eur", "paid_at", "chargeback_eur")


def _columns(delay: int = 7) -> Columns:
    entities = ("customer_id", "branch_id")
    return Columns(
        id="payment_id",
        time="paid_at",
        label="is_fraud",
        entities=entities,
        amount="amount_eur",
        label_delay_days=delay,
    )


def _features(rows: pd.DataFrame, features: type[FeatureSet] = Fraud, delay: int = 7) -> pd.DataFrame:
    columns = _columns(delay)
    aggregate = type("Aggregate", (AggregateStep,), {"feature_set": features})
    join = type("Features", (FeaturesStep,), {"feature_set": features})
    tables = aggregate(AggregateConfig(columns=columns)).run(rows=ValidRows(rows))
    found: pd.DataFrame = join(FeaturesConfig(columns=columns)).run(rows=ValidRows(rows), tables=tables)
    return found


def _split(features: pd.DataFrame, delay: int = 7) -> Split:
    return SplitStep(SplitConfig(columns=_columns(delay))).run(rows=features)  # type: ignore[arg-type]


def _train(parts: Split, step: type[TrainStep] = TrainStep, context: Context | None = None, **settings: Any) -> Model:
    return step(TrainConfig(columns=_columns(), **settings), context or Context()).run(
        train=parts.train, tune=parts.tune
    )


def _ap(model: Model, parts: Split) -> float:
    return float(average_precision_score(parts.test["is_fraud"], model.score(parts.test)))


ROWS = FraudSimulation(rows=12_000, days=90, seed=1).frame()


@pytest.fixture(scope="module")
def parts() -> Split:
    return _split(_features(ROWS.assign(scenario=ROWS["is_fraud"] * 2)))


def test_only_roles_and_declared_features_pass_the_features_step(parts: Split) -> None:
    roles = {"payment_id", "paid_at", "is_fraud", "customer_id", "branch_id", "amount_eur"}
    assert set(parts.train.columns) == roles | set(Fraud.stored_columns()) | {"over_mean", "hour"}
    model = _train(parts)
    assert set(model.columns) == {"amount_eur", "over_mean", "hour", *Fraud.stored_columns()}
    assert parts.train["hour"].between(0, 24).all()


def test_training_repeats_bit_for_bit(parts: Split) -> None:
    assert np.array_equal(_train(parts).score(parts.test), _train(parts, threads=2).score(parts.test))


def test_compute_may_neither_replace_a_column_nor_change_its_length() -> None:
    class Replaces(Fraud):
        def compute(self, *, columns: Arrays) -> Arrays:
            return {"amount_eur": columns["amount_eur"] * 2}

    class Shortens(Fraud):
        def compute(self, *, columns: Arrays) -> Arrays:
            return {"first": columns["amount_eur"][:1]}

    with pytest.raises(ContractError, match="amount_eur"):
        _features(ROWS, Replaces)
    with pytest.raises(ContractError, match="first"):
        _features(ROWS, Shortens)


def test_a_missing_or_textual_request_field_is_named() -> None:
    with pytest.raises(DataError, match="chargeback_eur"):
        _features(ROWS, Leaky)
    with pytest.raises(DataError, match="not numeric"):
        _features(ROWS.assign(chargeback_eur="x"), Leaky)


def test_a_leak_lifts_the_score_by_a_tenth_and_is_refused(parts: Split) -> None:
    leak = ROWS["is_fraud"] * ROWS["amount_eur"]
    leaking = _split(_features(ROWS.assign(chargeback_eur=leak), Leaky))
    with pytest.raises(DataError) as error:
        _train(leaking)
    assert all(t in str(error.value) for t in ("train", "`chargeback_eur`", "ROC AUC 1.0000", "0.9800"))
    assert _ap(_train(leaking, leak_auc_limit=1), leaking) > _ap(_train(parts), parts) + 0.10


def test_a_label_delay_of_zero_flatters_the_score() -> None:
    rows = FraudSimulation(rows=30_000, days=120, seed=2).frame()
    honest, flattered = (_split(_features(rows, delay=delay), delay) for delay in (7, 0))
    assert flattered.train["paid_at"].max() > honest.train["paid_at"].max()
    assert _ap(_train(flattered), flattered) > _ap(_train(honest), honest) + 0.03


def test_another_estimator_weights_and_columns_are_used(parts: Split) -> None:
    class Plain(TrainStep):
        def estimator(self, *, seed: int) -> Classifier:
            model: Classifier = LogisticRegression()
            return model

        def sample_weight(self, *, rows: pd.DataFrame) -> Any:
            return 1.0 + rows["is_fraud"].to_numpy(np.float64)

        def feature_columns(self, *, rows: pd.DataFrame) -> Sequence[str]:
            return ["amount_eur", "branch__count_7d"]

    model = _train(parts, Plain)
    assert isinstance(model.estimator, LogisticRegression) and model.columns == ("amount_eur", "branch__count_7d")


class Linear(TrainStep):
    def estimator(self, *, seed: int) -> Classifier:
        model: Classifier = make_pipeline(StandardScaler(), LogisticRegression())
        return model

    def sample_weight(self, *, rows: pd.DataFrame) -> Any:
        return 1.0 + 9.0 * rows["is_fraud"].to_numpy(np.float64)


def test_an_estimator_that_takes_no_missing_values_is_told_which_columns_have_them(parts: Split) -> None:
    with pytest.raises(ContractError, match=r"`Pipeline` takes no missing values.*customer__amount_eur_mean") as error:
        _train(parts, Linear)
    assert "make_pipeline(SimpleImputer()" in error.value.fix


def test_a_pipeline_hands_the_weights_to_its_last_step(parts: Split) -> None:
    class Imputed(Linear):
        def estimator(self, *, seed: int) -> Classifier:
            model: Classifier = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
            return model

    class Even(Imputed):
        def sample_weight(self, *, rows: pd.DataFrame) -> Any:
            return None

    weighted, even = _train(parts, Imputed), _train(parts, Even)
    assert weighted.score(parts.test).mean() > 2 * even.score(parts.test).mean()


def test_tuning_an_estimator_without_those_parameters_asks_for_a_search_space(parts: Split) -> None:
    with pytest.raises(ContractError, match="num_leaves") as error:
        _train(parts, Linear, tuning_trials=1)
    assert "search_space" in error.value.fix


@pytest.mark.parametrize(
    ("hook", "answer", "text"),
    [
        ("feature_columns", ["nothing"], "nothing"),
        ("feature_columns", [], "0 names"),
        ("feature_columns", "amount_eur", "str"),
        ("feature_columns", ["is_fraud"], "label"),
        ("sample_weight", np.ones(3), "shape"),
        ("estimator", "lightgbm", "str"),
    ],
)
def test_a_hook_that_answers_wrongly_is_named(parts: Split, hook: str, answer: Any, text: str) -> None:
    def give(self: Any, **given: Any) -> Any:
        return answer

    with pytest.raises(ContractError, match=text):
        _train(parts, type("Wrong", (TrainStep,), {hook: give}))


def test_tuning_keeps_to_its_budget_and_records_what_it_chose(parts: Split) -> None:
    context = Context(seed=1)
    _train(parts, context=context, tuning_trials=2, n_estimators=20)
    assert context.metrics["tuning_trials"] == 2 and "tuned_num_leaves" in context.params


@pytest.mark.slow
def test_the_defaults_are_worth_what_the_simulator_promises() -> None:
    for seed in range(2):  # five seeds: docs/benchmarks
        parts = _split(_features(FraudSimulation(seed=seed).frame()))
        assert 0.55 <= _ap(_train(parts), parts) <= 0.85
        assert average_precision_score(parts.test["is_fraud"], parts.test["amount_eur"]) < 0.30


def test_the_simulator_repeats_and_keeps_its_word() -> None:
    again = FraudSimulation(rows=12_000, days=90, seed=1).frame()
    pd.testing.assert_frame_equal(again, ROWS)
    assert len(ROWS) == 12_000 and ROWS["paid_at"].is_monotonic_increasing and ROWS["payment_id"].is_unique
    assert (ROWS["paid_at"].max() - ROWS["paid_at"].min()).days == 89 and 0.01 < ROWS["is_fraud"].mean() < 0.04
    assert not ROWS.isna().any().any() and (ROWS["amount_eur"] > 0).all()


@pytest.mark.parametrize("content", [None, "VIEW = []", "VIEWS = 3"])
def test_stored_features_without_a_list_of_views_name_the_file_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    package = tmp_path / f"views_{abs(hash(content))}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if content is not None:
        (package / "feature_views.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))

    class Wider(Fraud):
        __module__ = f"{package.name}.features"
        stored = ("loyalty:tier",)

    with pytest.raises(ContractError, match=r"loyalty:tier, and .*feature_views has no list `VIEWS`"):
        own_views(Wider)
    assert own_views(Fraud) is None
