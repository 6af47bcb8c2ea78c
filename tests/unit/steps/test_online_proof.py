"""The manifest of the online store is written once the service's reader and Feast agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carrental_mlops.config.serving import OnlineFeatures, Serving
from carrental_mlops.core.context import Context
from carrental_mlops.data.aggregate import FeatureTables
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.errors import DataError
from carrental_mlops.integrations import feast as crm_feast
from carrental_mlops.integrations import feast_manifest
from carrental_mlops.steps.materialise import MaterialiseConfig, MaterialiseStep
from carrental_mlops.steps.online_proof import prove_online

pytestmark = pytest.mark.slow


class Features(FeatureSet):
    history = (History("customer_history", "customer_id", days=(7,), mean=("amount",)),)


class TwoKeys(FeatureSet):
    stored = ("pair:x",)


def tables() -> FeatureTables:
    day = pd.Timestamp("2026-03-01", tz="UTC")
    rows = [{"customer_id": i, "event_timestamp": day, "count_7d": i % 5, "amount_mean_7d": i / 7} for i in range(90)]
    return FeatureTables({"customer_history": pd.DataFrame(rows).astype({"count_7d": float})})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    context = Context(root=tmp_path, stores=True, service="fraud-payments")
    crm_feast.materialise(context, Features, tables().tables)
    return context


def manifest(context: Context) -> Any:
    return json.loads((context.root / ".crm" / "feast" / "online.json").read_text())


def test_the_manifest_is_written_once_both_ways_of_reading_agree(context: Context) -> None:
    prove_online(context, Features, tables())
    (view,) = manifest(context)["views"]
    assert (view["view"], view["entity"], view["zero"]) == ("customer_history", "customer_id", ["count_7d"])


def other_key(view: dict[str, Any]) -> None:
    view["head"] = "00" + view["head"][2:]


def other_zero(view: dict[str, Any]) -> None:
    view["zero"] = []


@pytest.mark.parametrize("change", [other_key, other_zero])
def test_a_difference_stops_the_run_and_keeps_the_old_manifest(
    context: Context, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove_online(context, Features, tables())
    before, made = manifest(context), feast_manifest.online_manifest

    def as_another_feast_would(*given: Any) -> dict[str, Any]:
        changed = made(*given)
        change(changed["views"][0])
        return changed

    monkeypatch.setattr(feast_manifest, "online_manifest", as_another_feast_would)
    with pytest.raises(DataError, match=r"`customer_history__\w+` read by the service differs from Feast's for \d+ of"):
        prove_online(context, Features, tables())
    assert manifest(context) == before


def test_a_store_that_lost_values_since_is_no_difference(context: Context) -> None:
    prove_online(context, Features, FeatureTables({"customer_history": tables().tables["customer_history"].iloc[:0]}))
    assert manifest(context)["views"]


def test_a_view_of_two_keys_is_refused(context: Context, tmp_path: Path) -> None:
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    frame = {"a": [1], "b": [2], "event_timestamp": [pd.Timestamp("2026-03-01", tz="UTC")], "x": [1.0]}
    pd.DataFrame(frame).to_parquet(tmp_path / "pair.parquet")
    keys = [Entity(name=name, join_keys=[name], value_type=ValueType.INT64) for name in ("a", "b")]
    source = FileSource(name="pairs", path="pair.parquet", timestamp_field="event_timestamp")
    view = FeatureView(name="pair", entities=keys, schema=[Field(name="x", dtype=Float64)], source=source, online=True)
    crm_feast.materialise(context, TwoKeys, {}, [*keys, view])
    with pytest.raises(DataError, match="one key"):
        prove_online(context, TwoKeys, FeatureTables({}))


class Materialise(MaterialiseStep):
    feature_set = Features


def test_a_service_whose_callers_send_the_features_needs_no_proof(tmp_path: Path) -> None:
    context = Context(root=tmp_path, stores=True, service="fraud-payments")
    features = OnlineFeatures(source="request")
    Materialise(MaterialiseConfig(serving=Serving(features=features)), context).run(tables=tables())
    assert not (tmp_path / ".crm" / "feast" / "online.json").exists()
    Materialise(MaterialiseConfig(), context).run(tables=tables())
    assert manifest(context)["views"]
