"""What is held of a repo as a whole: one that holds, and one that breaks each of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carrental_mlops.errors import CrmError
from carrental_mlops.testing import Check, checks

PIPELINES = """\
from typing import final

from carrental_mlops.core import Pipeline, Step, StepConfig, step
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService


class Row(RowContract):
    customer_id: int
    amount: float


class Other(RowContract):
    customer_id: int
    amount: float


class Features(FeatureSet):
    history = (History(view="customer", entity="customer_id", days=(7,)),)
    request = ("amount",)


class OtherFeatures(FeatureSet):
    request = ("amount",)


class Service(ModelService):
    feature_set = {features}
    schema = {schema}


class Number(StepConfig):
    number: int
    \"\"\"What to return.\"\"\"


class Make(Step):
    config: Number
    schema = Row
    feature_set = Features
    service = Service

    @final
    def run(self) -> int:
        return self.config.number


class Making(Pipeline):
    name = "making"
    make = step(Make)

    def build(self) -> None:
        self.make.run()
"""
CONFIG = """\
service: kit-repo
package: {package}
owner: a@example.com
tier: 3
environments: [local, staging]
columns: {{id: a, time: b, label: c, entities: []}}
steps: {{make: {{number: 3}}}}
"""


def repo_of(root: Path, package: str, view: str, schema: str, features: str, staging: str) -> Path:
    source = root / "src" / package
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "pipelines.py").write_text(PIPELINES.format(schema=schema, features=features))
    (source / "feature_views.py").write_text(f"class View:\n    name = {view!r}\n\n\nVIEWS = [View]\n")
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG.format(package=package))
    (root / "config" / "staging.yaml").write_text(staging)
    return root


@pytest.fixture
def clean() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [n for n in sys.modules if n.startswith(("kit_whole", "kit_broken"))]:
        del sys.modules[name]


def broken(found: list[Check]) -> dict[str, str]:
    told = {}
    for check in found:
        if check.quick and check.name != "imports nothing heavy":  # held in other tests
            try:
                check()
            except CrmError as error:
                told[str(check)] = error.what
                assert error.fix
    return told


@pytest.mark.usefixtures("clean")
def test_a_repo_that_holds(tmp_path: Path) -> None:
    found = checks(repo_of(tmp_path, "kit_whole", "customer", "Row", "Features", "steps: {make: {number: 4}}\n"))
    assert broken(found) == {}
    assert {check.subject for check in found} == {
        "crm.yaml in local", "crm.yaml in staging", "Making", "Make", "Features", "Service", "kit_whole"
    }  # fmt: skip


@pytest.mark.usefixtures("clean")
def test_a_repo_that_breaks_each_is_told_which_and_where(tmp_path: Path) -> None:
    staging = "steps: {make: {number: many}}\n"
    told = broken(checks(repo_of(tmp_path, "kit_broken", "branch", "Other", "OtherFeatures", staging)))
    assert set(told) == {
        "crm.yaml in staging: gives every step its settings",
        "kit_broken: holds rows and requests to one schema",
        "kit_broken: has one set of features",
        "kit_broken: has a view of each stored feature",
    }
    assert "staging.yaml:1" in told["crm.yaml in staging: gives every step its settings"]
    assert "pipelines.py:" in told["kit_broken: holds rows and requests to one schema"]
    assert "reads the view `customer`" in told["kit_broken: has a view of each stored feature"]
