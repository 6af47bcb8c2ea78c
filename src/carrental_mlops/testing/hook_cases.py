"""What holds for any answer of a hook, the default's as a team's: the cases that both are tested with.

Every call goes through `core.call`, so each case holds types, the hook's own check and that no input is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from carrental_mlops.core import call
from carrental_mlops.core.hook import hooks_of, where
from carrental_mlops.errors import ContractError
from carrental_mlops.testing.features import check_features
from carrental_mlops.testing.hook_inputs import HookInputs

Case = Callable[[Any, HookInputs], None]
"""(an object that has the hook, what it is asked with): raises where the hook is wrong."""


def hook_cases(cls: type, hook: str) -> dict[str, Case]:
    """The cases of a hook of `cls`, by what they hold; empty where a hook has none."""
    return _CASES.get(f"{hooks_of(cls)[hook].owner}.{hook}", {})


def _asked(hook: str, **words: Callable[[HookInputs], Any]) -> Callable[[Any, HookInputs], Any]:
    def ask(owner: Any, given: HookInputs) -> Any:
        return call(getattr(owner, hook), **{name: value(given) for name, value in words.items()})

    return ask


def _contract(ask: Callable[[Any, HookInputs], Any]) -> Case:
    def hold(owner: Any, given: HookInputs) -> None:
        ask(owner, given)

    return hold


def _twice(hook: str, ask: Callable[[Any, HookInputs], Any]) -> Case:
    def hold(owner: Any, given: HookInputs) -> None:
        if not _equal(ask(owner, given), ask(owner, given)):
            _refuse(owner, hook, "answers otherwise when it is asked again", "use the seed it is given; keep no state")

    return hold


def _both(hook: str, ask: Callable[[Any, HookInputs], Any]) -> dict[str, Case]:
    return {"keeps its contract": _contract(ask), "answers the same twice": _twice(hook, ask)}


def _every_part(owner: Any, given: HookInputs) -> None:
    found = set(call(owner.assign, rows=given.rows))
    missing = [part for part in ("train", "tune", "test") if part not in found]
    if missing:
        _refuse(owner, "assign", f"leaves {', '.join(missing)} empty on {len(given.rows)} rows of 120 days",
                "give each part rows")  # fmt: skip


def _no_label(owner: Any, given: HookInputs) -> None:
    label = owner.config.columns.label
    if label in list(call(owner.feature_columns, rows=given.rows)):
        _refuse(owner, "feature_columns", f"returns the label `{label}`", "leave it out")


def _a_new_one(hook: str, ask: Callable[[Any, HookInputs], Any]) -> Case:
    def hold(owner: Any, given: HookInputs) -> None:
        one, other = ask(owner, given), ask(owner, given)
        if one is not None and one is other:
            _refuse(owner, hook, "returns the same object each time", "make a new one in the hook")

    return hold


def _fits(owner: Any, given: HookInputs) -> None:
    scores = [_scored(call(owner.estimator, seed=given.seed), given) for _ in range(2)]
    shape, fix = scores[0].shape, "return a classifier of two classes"
    if shape != (len(given.label), 2):
        _refuse(owner, "estimator", f"scores {len(given.label)} rows as {shape}", fix)
    if not (np.isfinite(scores[0]).all() and (scores[0] >= 0).all() and np.allclose(scores[0].sum(axis=1), 1)):
        _refuse(owner, "estimator", "gives scores that are no probabilities", fix)
    if not np.array_equal(scores[0], scores[1]):
        _refuse(owner, "estimator", "gives other scores with the same seed", "random_state=seed")


def _scored(estimator: Any, given: HookInputs) -> Any:
    return np.asarray(estimator.fit(given.matrix, given.label).predict_proba(given.matrix))


def _known_parameters(owner: Any, given: HookInputs) -> None:
    space = call(owner.search_space)
    unknown = sorted(set(space) - set(call(owner.estimator, seed=given.seed).get_params()))
    if unknown:
        _refuse(owner, "search_space", f"names {unknown}, which the estimator does not have", "use its parameters")


def _calibrates(owner: Any, given: HookInputs) -> None:
    from carrental_mlops.steps.calibrate import fitted

    calibrator = call(owner.calibrator)
    if calibrator is not None:
        fitted(calibrator, np.sort(given.scores), np.sort(given.label))


def _names_of_its_own(owner: Any, given: HookInputs) -> None:
    taken = sorted(_METRICS(owner, given).keys() & given.evaluation.metrics.keys())
    if taken:
        _refuse(owner, "metrics", f"returns {taken}, which exist", "give them other names")


def _features(owner: Any, given: HookInputs) -> None:
    check_features(type(owner), 32, given.seed)


def _columns(given: HookInputs) -> dict[str, Any]:
    return {str(n): given.rows[n].to_numpy(np.float64) for n in given.rows.select_dtypes(["number", "bool"]).columns}


def _alone(hook: str, ask: Callable[[Any, HookInputs], Any]) -> Case:
    def hold(owner: Any, given: HookInputs) -> None:
        whole, columns = ask(owner, given), _columns(given)
        for n in range(0, len(given.scores), 40):
            words: dict[str, Any] = {"columns": {name: values[n : n + 1] for name, values in columns.items()}}
            if hook != "rules":
                words["scores"] = given.scores[n : n + 1]
            alone = call(getattr(owner, hook), **words)
            if not _equal(_row(alone, 0), _row(whole, n)):
                said = f"says {_row(alone, 0)!r} of a row alone, {_row(whole, n)!r} of it among others"
                _refuse(owner, hook, said, "answer each row from that row alone")

    return hold


def _row(answer: Any, n: int) -> Any:
    return {name: mask[n] for name, mask in answer.items()} if isinstance(answer, dict) else answer[n]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return isinstance(other, pd.DataFrame) and one.equals(other)
    if isinstance(one, pd.Series):
        return isinstance(other, pd.Series) and one.equals(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other) or (one != one and other != other)


def _refuse(owner: Any, hook: str, what: str, fix: str) -> None:
    cls = type(owner)
    raise ContractError(f"`{cls.__name__}.{hook}` ({where(getattr(cls, hook))}) {what}", fix)


def _rows(given: HookInputs) -> pd.DataFrame:
    return given.rows


def _seed(given: HookInputs) -> int:
    return given.seed


def _scores(given: HookInputs) -> Any:
    return given.scores


def _verdict(given: HookInputs) -> Any:
    return given.verdict


def _model(given: HookInputs) -> Any:
    return given.model


def _evaluation(given: HookInputs) -> Any:
    return given.evaluation


_METRICS = _asked("metrics", rows=_rows, scores=_scores, threshold=lambda given: given.model.threshold)
_ESTIMATOR, _CALIBRATOR = _asked("estimator", seed=_seed), _asked("calibrator")
_SPACE, _RULES = _asked("search_space"), _asked("rules", columns=_columns)
_DECIDE, _REASONS = (_asked(hook, scores=_scores, columns=_columns) for hook in ("decide", "reasons"))
_CARD = _asked("model_card", model=_model, evaluation=_evaluation, verdict=_verdict)
_CASES: dict[str, dict[str, Case]] = {
    "IngestStep.clean": _both("clean", _asked("clean", rows=lambda given: given.source)),
    "SplitStep.assign": {**_both("assign", _asked("assign", rows=_rows)), "fills every part": _every_part},
    "TrainStep.feature_columns": {
        **_both("feature_columns", _asked("feature_columns", rows=_rows)),
        "leaves the label out": _no_label,
    },
    "TrainStep.estimator": {
        "keeps its contract": _contract(_ESTIMATOR),
        "makes a new one each time": _a_new_one("estimator", _ESTIMATOR),
        "fits, and scores the same with the same seed": _fits,
    },
    "TrainStep.sample_weight": _both("sample_weight", _asked("sample_weight", rows=_rows)),
    "TrainStep.search_space": {**_both("search_space", _SPACE), "names parameters of the estimator": _known_parameters},
    "CalibrateStep.calibrator": {
        "keeps its contract": _contract(_CALIBRATOR),
        "makes a new one each time": _a_new_one("calibrator", _CALIBRATOR),
        "fits scores and labels": _calibrates,
    },
    "ThresholdStep.costs": _both("costs", _asked("costs", rows=_rows)),
    "EvaluateStep.metrics": {**_both("metrics", _METRICS), "takes no name that exists": _names_of_its_own},
    "EvaluateStep.segments": _both("segments", _asked("segments", rows=_rows)),
    "ExplainStep.background": _both("background", _asked("background", rows=_rows, seed=_seed)),
    "RegisterStep.model_card": _both("model_card", _CARD),
    "ReportStep.sections": _both("sections", _asked("sections", rows=_rows, evaluation=_evaluation)),
    "FeatureSet.compute": {"one row gives what a thousand give": _features},
    "ModelService.rules": {**_both("rules", _RULES), "answers a row alone as among others": _alone("rules", _RULES)},
    "ModelService.decide": {
        **_both("decide", _DECIDE),
        "answers a row alone as among others": _alone("decide", _DECIDE),
    },
    "ModelService.reasons": {
        **_both("reasons", _REASONS),
        "answers a row alone as among others": _alone("reasons", _REASONS),
    },
}
