from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import final

import numpy as np
import pytest

from carrental_mlops.core import Pipeline, Step, StepConfig, step
from carrental_mlops.data.features import Arrays, FeatureSet
from carrental_mlops.errors import ContractError
from carrental_mlops.testing import check_features, check_pipeline, check_service, check_step, run_pipeline

_CALLS: list[int] = []


class Ratio(FeatureSet):
    stored = ("customer:mean",)
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"ratio": np.log(columns["amount"] / columns["customer__mean"])}


class Centred(FeatureSet):
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"centred": columns["amount"] - columns["amount"][0]}


class Writing(FeatureSet):
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        columns["amount"][:] = 0
        return {"zero": columns["amount"] + 0}


class Adding(FeatureSet):
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        columns["more"] = columns["amount"]  # type: ignore[index]
        return {}


class Short(FeatureSet):
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        return {"short": columns["amount"][:-1]}


class Counting(FeatureSet):
    request = ("amount",)

    def compute(self, *, columns: Arrays) -> Arrays:
        _CALLS.append(1)
        return {"n": columns["amount"] * 0 + len(_CALLS)}


def test_elementwise_features_hold() -> None:
    check_features(Ratio)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Centred, "`centred` in row"),
        (Writing, "changed its input"),
        (Adding, "changed its input"),
        (Short, r"`short` has shape \(63,\)"),
        (Counting, "a second instance"),
    ],
)
def test_features_that_would_differ_in_production_are_refused(broken: type[FeatureSet], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        check_features(broken)


class Number(StepConfig):
    number: int = 3
    """What to return."""


class Bare(StepConfig):
    number: int = 3


class Make(Step):
    config: Number

    @final
    def run(self) -> int:
        return self.config.number


class Twice(Step):
    @final
    def run(self, *, number: int) -> int:
        return 2 * number


class Undescribed(Step):
    config: Bare

    @final
    def run(self) -> int:
        return 1


class Doubling(Pipeline):
    name = "doubling"
    make = step(Make)
    twice = step(Twice)

    def build(self) -> None:
        self.twice.run(number=self.make.run())


class Nameless(Doubling):
    name = ""


def test_a_step_and_a_pipeline_that_hold() -> None:
    check_step(Make)
    check_pipeline(Doubling)


def test_a_setting_without_description_is_refused() -> None:
    with pytest.raises(ContractError, match="Bare does not describe number"):
        check_step(Undescribed)


def test_a_class_inside_a_function_is_refused_for_no_engine_could_import_it() -> None:
    class Hidden(Make):
        pass

    with pytest.raises(ContractError, match="cannot be imported"):
        check_step(Hidden)


def test_a_pipeline_without_a_name_is_refused() -> None:
    with pytest.raises(ContractError, match="has no name"):
        check_pipeline(Nameless)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "made_services.py").write_text("""\
import numpy as np
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.serving import ModelService


class Features(FeatureSet):
    request = ("amount",)


class Well(ModelService):
    feature_set = Features

    def decide(self, *, scores, columns):
        decided = super().decide(scores=scores, columns=columns)
        return np.where((decided == "block") & (columns["amount"] > 50), "review", decided)


class Ranking(ModelService):
    feature_set = Features

    def decide(self, *, scores, columns):
        return np.where(scores >= np.median(scores), "block", "accept")


class Silent(ModelService):
    pass
""")
    (tmp_path / "heavy_service.py").write_text(
        "import pandas\nfrom made_services import Well\n\nclass Heavy(Well):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import made_services

    yield made_services
    sys.modules.pop("made_services", None)
    sys.modules.pop("heavy_service", None)


def test_a_service_that_holds(services: ModuleType) -> None:
    check_service(services.Well)


def test_a_decision_that_depends_on_the_other_rows_is_refused(services: ModuleType) -> None:
    with pytest.raises(ContractError, match=r"(?s)Ranking.*(decisions|decide)"):
        check_service(services.Ranking)


def test_a_service_without_features_is_refused(services: ModuleType) -> None:
    with pytest.raises(ContractError, match="names no FeatureSet"):
        check_service(services.Silent)


def test_a_service_that_loads_pandas_is_refused(services: ModuleType) -> None:
    import heavy_service

    with pytest.raises(ContractError, match="loads pandas"):
        check_service(heavy_service.Heavy)


def test_run_pipeline_gives_each_step_s_result_by_slot(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "src" / "doubles").mkdir(parents=True)
    (tmp_path / "src" / "doubles" / "pipelines.py").write_text(f"from {__name__} import Doubling\n")
    (tmp_path / "config" / "crm.yaml").write_text(
        "service: doubles\npackage: doubles\nowner: a@example.com\ntier: 3\n"
        "columns: {id: a, time: b, label: c, entities: []}\nslo: {p99_ms: 1, rps: 1, error_rate: 0}\n"
    )
    results = run_pipeline(Doubling, tmp_path, "steps.make.number=21")
    assert dict(results) == {"make": 21, "twice": 42}
    with pytest.raises(KeyError, match="the run has make, twice"):
        results["gate"]
