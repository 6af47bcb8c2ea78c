"""A model repo with a schema, features, a service and every step of training, whose overrides a test writes."""

from __future__ import annotations

import textwrap
from pathlib import Path

from small_repo import CONFIG

_SCHEMA = """
    from datetime import datetime

    from carrental_mlops.data.row_contract import RowContract
    from pydantic import Field


    class Row(RowContract):
        payment_id: int
        customer_id: int
        paid_at: datetime
        amount_eur: float = Field(ge=0, le=20_000)
        is_fraud: int | None = None
        channel: int | None = Field(default=None, ge=0, le=9)
    """
_FEATURES = """
    from carrental_mlops.data.features import FeatureSet


    class Feats(FeatureSet):
        request = ("amount_eur", "paid_at")
        stored = ("customer:risk",)

        def compute(self, *, columns):
            return {"hour": columns["paid_at"] % 86_400 / 3_600}
    """
_SERVICE = """
    from carrental_mlops.serving import ModelService

    from {package}.features import Feats


    class Service(ModelService):
        feature_set = Feats
    """
_PIPELINES = """
    from carrental_mlops.core import step
    from carrental_mlops.pipelines import TrainingPipeline
    from carrental_mlops.steps import AggregateStep, FeaturesStep, GateStep, ValidateStep

    from {package} import steps
    from {package}.features import Feats
    from {package}.schema import Row
    from {package}.service import Service


    class Validate(ValidateStep):
        schema = Row


    class Aggregate(AggregateStep):
        feature_set = Feats


    class Features(FeaturesStep):
        feature_set = Feats


    class Gate(GateStep):
        service = Service


    class Training(TrainingPipeline):
        validate = step(Validate)
        aggregate = step(Aggregate)
        features = step(Features)
        gate = step(Gate)
    {slots}
    """


def hooked_repo(root: Path, package: str, steps: str = "", **slots: str) -> Path:
    """The repo at `root`: `steps` is its `steps.py`, and `train="Mine"` puts a class of it into a slot."""
    (root / "config").mkdir(parents=True)
    text = CONFIG.replace("package: payments", f"package: {package}").replace("]}", "], amount: amount_eur}")
    (root / "config" / "crm.yaml").write_text(text)
    source = root / "src" / package
    source.mkdir(parents=True)
    lines = "\n".join(f"        {slot} = step(steps.{name})" for slot, name in slots.items())
    files = {"__init__": "", "steps": steps, "schema": _SCHEMA, "features": _FEATURES, "service": _SERVICE}
    for name, content in {**files, "pipelines": _PIPELINES.replace("    {slots}", lines)}.items():
        filled = textwrap.dedent(content.replace("{package}", package))
        (source / f"{name}.py").write_text(filled.lstrip("\n"))
    return root
