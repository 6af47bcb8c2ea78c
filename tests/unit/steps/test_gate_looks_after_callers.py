"""The gate refuses a candidate whose callers could not go on, and says which field and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.measures.evaluation import Evaluation
from carrental_mlops.data.model import LightGbm, Model
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.interface import from_text
from carrental_mlops.steps import Champion, ChampionStep, GateConfig, GateStep, RegisterConfig, RegisterStep, Verdict
from carrental_mlops.steps.tables import TrainRows

COLUMNS = Columns(id="payment_id", time="paid_at", label="is_fraud", entities=())


class Features(FeatureSet):
    request = ("amount_eur",)


class Payment(RowContract):
    payment_id: int
    amount_eur: float = Field(ge=0)
    channel: int | None = None
    is_fraud: int | None = None


class WithDevice(Payment):
    device_id: int | None = None


class WithoutChannel(RowContract):
    payment_id: int
    amount_eur: float = Field(ge=0)
    branch_id: int


def gate_of(schema: type[RowContract] | None, **rules: Any) -> GateStep:
    members: dict[str, Any] = {"feature_set": Features} | ({"schema": schema} if schema else {})
    service = type("Service", (ModelService,), {**members, "__module__": __name__})
    gate = type("Gate", (GateStep,), {"service": service, "__module__": __name__})
    return gate(GateConfig(columns=COLUMNS, **rules))


def verdict(schema: type[RowContract] | None, champion: Champion, **rules: Any) -> Verdict:
    return gate_of(schema, **rules).run(evaluation=Evaluation({}), champion=champion)


CHAMPION = Champion(None, "3", interface=verdict(Payment, Champion()).interface)


def test_an_optional_field_more_passes() -> None:
    found = verdict(WithDevice, CHAMPION)
    assert found.passed and "device_id" in from_text(found.interface)["fields"]
    assert "is_fraud" not in from_text(found.interface)["fields"]
    assert found.checks == ("met: callers of champion 3 can go on: no field or output that they rely on has changed",)


def test_a_field_that_is_gone_or_newly_required_is_refused_by_name() -> None:
    found = verdict(WithoutChannel, CHAMPION)
    assert not found.passed and len(found.reasons) == 2
    assert found.reasons[0].startswith("callers of champion 3 break: field `channel` is gone; keep it")
    assert "field `branch_id` is new and required; give it a default" in found.reasons[1]
    assert "steps.gate.schema_change: allow" in found.reasons[0]


def test_a_break_passes_where_it_is_allowed_and_is_still_told() -> None:
    found = verdict(WithoutChannel, CHAMPION, schema_change="allow")
    assert found.passed and any("`channel` is gone" in check for check in found.checks)


@pytest.mark.parametrize(
    ("schema", "champion", "told"),
    [(None, CHAMPION, "the gate's service has none"), (Payment, Champion(None, "2"), "registered without one")],
)
def test_nothing_to_compare_is_said(schema: type[RowContract] | None, champion: Champion, told: str) -> None:
    found = verdict(schema, champion)
    assert found.passed and "no schema to compare" in found.checks[0] and told in found.checks[0]


def test_without_a_champion_or_a_service_nothing_is_asked() -> None:
    assert verdict(Payment, Champion()).checks == ()
    assert GateStep(GateConfig()).run(evaluation=Evaluation({})).interface == ""


def test_the_interface_is_registered_with_the_model_and_comes_back_with_the_champion(tmp_path: Path) -> None:
    import lightgbm
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"amount_eur": rng.uniform(0, 9, 300)})
    data = lightgbm.Dataset(rows.to_numpy(), (rows.amount_eur > 5).astype(int))
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3)
    model = Model(LightGbm(booster), ("amount_eur",))
    context = Context(run_id="run-1", root=tmp_path, service="fraud", stores=True)
    said = verdict(Payment, Champion())
    RegisterStep(RegisterConfig(), context).run(
        model=model, train=TrainRows(rows), evaluation=Evaluation({}), verdict=said, champion=Champion()
    )
    found = ChampionStep(context=Context(root=tmp_path, service="fraud", stores=True)).run()
    assert found.interface == said.interface
    found.save(tmp_path / "kept")
    assert Champion.load(tmp_path / "kept").interface == said.interface
    assert not verdict(WithoutChannel, found).passed
