"""The cases that a default's tests hold of any implementation: every default passes, each mistake is caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hooked_repo import hooked_repo

import carrental_mlops.steps as steps
from carrental_mlops.core.hook import hooks_of
from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.errors import ContractError
from carrental_mlops.serving import ModelService
from carrental_mlops.testing import hook_probe
from carrental_mlops.testing.hook_cases import hook_cases
from carrental_mlops.testing.hook_inputs import HookInputs, hook_inputs

STEPS = [cls for name in steps.__all__ if name.endswith("Step") for cls in [getattr(steps, name)] if hooks_of(cls)]
HOOKED = [(cls, hook) for cls in [*STEPS, ModelService] for hook in hooks_of(cls)]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> ModelRepo:
    return open_repo(hooked_repo(tmp_path_factory.mktemp("repo"), "hooked_cases"))


@pytest.fixture(scope="module")
def given(repo: ModelRepo) -> HookInputs:
    return hook_inputs(repo)


def made(cls: type, repo: ModelRepo, given: HookInputs) -> Any:
    if issubclass(cls, ModelService):
        return cls(given.model)
    configs = repo.step_configs(repo.pipeline("training"))
    config = next(c for c in configs.values() if type(c) is cls.config_model())
    return cls(config, repo.context())


@pytest.mark.parametrize(("cls", "hook"), HOOKED, ids=[f"{cls.__name__}.{hook}" for cls, hook in HOOKED])
def test_every_default_has_cases_and_holds_them(cls: type, hook: str, repo: ModelRepo, given: HookInputs) -> None:
    if cls is ModelService:
        from hooked_cases.service import Service

        cls = Service
    cases = hook_cases(cls, hook)
    assert cases
    for case in cases.values():
        case(made(cls, repo, given), given)


def kept(self: Any, *, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    type(self)._kept.append(DecisionTreeClassifier())
    return type(self)._kept[0]


def seedless(self: Any, *, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(3, max_features=1)


def half(self: Any, *, rows: Any) -> Any:
    return rows["amount_eur"].to_numpy()[: len(rows) // 2], rows["amount_eur"].to_numpy()


def shuffled(self: Any, *, rows: Any, seed: int) -> Any:
    return np.random.permutation(len(rows))[:9].astype(np.int64)


def grown(self: Any, *, rows: Any) -> Any:
    rows.insert(0, "new", 1)
    return rows


WRONG: dict[str, tuple[type, str, Any, str]] = {
    "other weights": (steps.TrainStep, "sample_weight", lambda self, *, rows: np.random.random(len(rows)), "again"),
    "a weight too few": (steps.TrainStep, "sample_weight", lambda self, *, rows: np.ones(len(rows) - 1), "shape"),
    "the label as a feature": (steps.TrainStep, "feature_columns", lambda self, *, rows: ["is_fraud"], "label"),
    "one estimator for all": (steps.TrainStep, "estimator", kept, "same object"),
    "an estimator without the seed": (steps.TrainStep, "estimator", seedless, "same seed"),
    "a strange parameter": (steps.TrainStep, "search_space", lambda self: {"eta": (0.1, 0.2)}, "eta"),
    "no test rows": (steps.SplitStep, "assign", lambda self, *, rows: pd.Series("train", rows.index), "test empty"),
    "costs of half the rows": (steps.ThresholdStep, "costs", half, "shape|rows"),
    "a metric that exists": (steps.EvaluateStep, "metrics", lambda self, **given: {"roc_auc": 1.0}, "exist"),
    "a column less": (steps.IngestStep, "clean", lambda self, *, rows: rows.drop(columns="amount_eur"), "lost"),
    "rows changed in place": (steps.IngestStep, "clean", grown, "in place"),
    "other rows each time": (steps.ExplainStep, "background", shuffled, "again"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_fails_a_case(mistake: str, repo: ModelRepo, given: HookInputs) -> None:
    base, hook, function, word = WRONG[mistake]
    wrong = type(f"Wrong{base.__name__}", (base,), {hook: function, "_kept": [], "__module__": __name__})
    with pytest.raises(ContractError, match=word):
        for case in hook_cases(wrong, hook).values():
            case(made(wrong, repo, given), given)


def test_a_class_that_no_slot_holds_is_made_with_the_settings_of_its_default(
    repo: ModelRepo, given: HookInputs
) -> None:
    class Unused(steps.CalibrateStep):
        def calibrator(self) -> Any:
            return None

    class Wanting(steps.PredictConfig):
        needed: int

    class Elsewhere(steps.PredictStep):
        config: Wanting

    found = hook_probe.made(repo, Unused, given)
    assert isinstance(found.config, steps.CalibrateConfig)
    assert hook_probe.made(repo, Elsewhere, given) is None


def test_a_decision_that_looks_at_the_other_rows_fails_a_case(repo: ModelRepo, given: HookInputs) -> None:
    from hooked_cases.service import Service

    class Ranked(Service):
        def decide(self, *, scores: Any, columns: Any) -> Any:
            return np.where(scores >= np.median(scores), "block", "accept")

    with pytest.raises(ContractError, match="of a row alone"):
        for case in hook_cases(Ranked, "decide").values():
            case(Ranked(given.model), given)


def test_inputs_fit_the_declared_schema_and_are_the_same_for_a_seed(repo: ModelRepo) -> None:
    from hooked_cases.schema import Row

    one, other = hook_inputs(repo, 50, 3), hook_inputs(repo, 50, 3)
    pd.testing.assert_frame_equal(one.rows, other.rows)
    pd.testing.assert_frame_equal(one.source, other.source)
    for row in one.source.to_dict("records"):
        Row.model_validate(row)
    roles = ["payment_id", "paid_at", "is_fraud", "customer_id", "amount_eur"]
    assert list(one.rows.columns) == [*roles, "customer__risk", "hour"]
