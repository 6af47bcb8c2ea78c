"""Each check of the kit on a service: one that holds, and one that breaks just that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pandas as pd
import pytest

from carrental_mlops.data.features import as_numbers
from carrental_mlops.data.model import Model
from carrental_mlops.errors import ContractError
from carrental_mlops.testing import check_service, check_serving, checks
from carrental_mlops.testing.fakes import FakeClassifier
from carrental_mlops.testing.made_up import made_up_rows

SERVICES = """\
import time
from datetime import datetime
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService


class Row(RowContract):
    payment_id: int
    customer_id: int = Field(ge=1, le=9)
    paid_at: datetime
    amount: float = Field(ge=0, le=900)
    is_bad: int | None = None


class Rounded(RowContract):
    customer_id: int
    paid_at: datetime
    amount: Annotated[float, AfterValidator(round)] = Field(ge=0, le=900)


class Lacking(RowContract):
    paid_at: datetime


class Features(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=(7,), mean=("amount",)),)
    request = ("amount", "paid_at")

    def compute(self, *, columns):
        return {"hour": columns["paid_at"] % 86_400 / 3_600}


class Well(ModelService):
    feature_set = Features
    schema = Row
    decision_fields = ("payment_id",)

    def rules(self, *, columns):
        return {"even": columns["payment_id"] % 2 == 0}


class Changing(ModelService):
    feature_set = Features
    schema = Rounded


class Unfit(ModelService):
    feature_set = Features
    schema = Lacking


class Slow(ModelService):
    feature_set = Features
    schema = Row

    def decide(self, *, scores, columns):
        time.sleep(0.01)
        return super().decide(scores=scores, columns=columns)


class Sulking(ModelService):
    feature_set = Features
    schema = Row

    def decide(self, *, scores, columns):
        if (columns["amount"] == 1).all():
            raise ValueError("no ones")
        return super().decide(scores=scores, columns=columns)
"""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    root = tmp_path_factory.mktemp("services")
    (root / "team_services.py").write_text(SERVICES)
    sys.path.insert(0, str(root))
    import team_services

    yield team_services
    sys.path.remove(str(root))
    sys.modules.pop("team_services")


def test_a_service_that_holds_offline_and_over_a_socket_with_its_features_by_entity_id(services: ModuleType) -> None:
    check_service(services.Well, label="is_bad")
    names = [check.name for check in checks(services.Well)]
    assert "answers the same with stored features read by entity id" in names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Changing", r"`Changing` \(.*team_services.py:\d+\): score of row \d+ is .* served, .* offline"),
        ("Unfit", r"`Unfit` .* reads `amount`, which its schema Lacking \(.*team_services.py:\d+\) lacks"),
        ("Slow", r"`Slow` \(.*team_services.py:\d+\) takes \d+ times as long to answer a row as LightGBM"),
    ],
)
def test_a_service_that_breaks_one_check_is_told_which(services: ModuleType, name: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        check_service(getattr(services, name))


def test_rows_with_other_features_than_the_service_computes_are_refused(services: ModuleType) -> None:
    rows = made_up_rows(services.Row, 5)
    table = pd.DataFrame(rows).assign(customer__count_7d=1.0, customer__amount_mean_7d=2.0)
    hour = services.Features().compute(columns={"paid_at": as_numbers(table["paid_at"].to_numpy())})["hour"]
    model = Model(FakeClassifier(), ("amount", "hour"))
    check_serving(services.Well, model, table.assign(hour=hour))
    with pytest.raises(ContractError, match=r"row 0 scores .* with the service's features, .* with those in the rows"):
        check_serving(services.Well, model, table.assign(hour=hour + 1))

    with pytest.raises(ContractError, match=r"`Sulking` \(.*team_services.py:\d+\) does not start .*no ones"):
        check_serving(services.Sulking, model, table.assign(hour=hour))
