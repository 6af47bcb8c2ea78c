"""What the service reads of the online store is what Feast reads, bit for bit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from online_parts import CUSTOMERS, Features, Filled, RedisServer

from carrental_mlops.integrations.feast_store import quiet
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.online import OnlineReader
from carrental_mlops.serving.online_view import OnlineView, number_of, seconds_of
from carrental_mlops.serving.refusal import Refusal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        yield Filled(folder)
        return
    server = RedisServer(folder, "s%40fe")
    server.url = server.url.replace("s%40fe", "s%2540fe")
    yield Filled(folder, server.url)
    server.stop()


def read(reader: OnlineReader, **values: list[Any]) -> Stored:
    async def once() -> Stored:
        await reader.start()
        try:
            return await reader.read(values, len(next(iter(values.values()))))
        finally:
            await reader.stop()

    return asyncio.run(once())


def bits(values: Any) -> Any:
    return np.where(np.isnan(values), np.nan, values).view(np.int64)


def test_every_type_and_key_equals_feasts_own_call_bit_for_bit(filled: Filled) -> None:
    n = CUSTOMERS + 10
    ids = {
        "customer_id": list(range(n)),
        "branch": [("b1", "Ω München", "nowhere", "b19")[i % 4] for i in range(n)],
        "car_id": [i % 60 for i in range(n)],
    }
    ours, wanted = read(filled.reader(), **ids).columns, filled.feast(ids)
    assert set(ours) == set(wanted) == set(Features.stored_columns())
    for name, values in ours.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(bits(values), bits(wanted[name]), err_msg=name)


def test_repeated_missing_and_unknown_ids_of_one_request_get_their_own_rows(filled: Filled) -> None:
    ids = [5, None, 7, 5, -1, 7, None]
    stored = read(filled.reader(), customer_id=ids)
    alone = {i: read(filled.reader(), customer_id=[i]).columns for i in (5, 7)}
    for name, values in stored.columns.items():
        if name.startswith("customer_history"):
            for row, identity in enumerate(ids):
                empty = 0.0 if "count_" in name else np.nan
                wanted = alone[identity][name][0] if identity in alone else empty
                np.testing.assert_equal(values[row], wanted)
    assert "unknown:customer_history" in stored.flags


def test_an_unknown_entity_counts_zero_is_missing_elsewhere_and_is_counted(filled: Filled) -> None:
    before = filled.told("crm_features_unknown_total")
    stored = read(filled.reader(when_stale="refuse"), customer_id=[10**9], branch=["b1"], car_id=[1])
    columns = {name: float(values[0]) for name, values in stored.columns.items()}
    assert columns["customer_history__count_7d"] == 0
    assert np.isnan(columns["customer_history__amount_mean_30d"])
    assert stored.flags == ("unknown:customer_history",)
    assert np.isnan(stored.ages["customer_history"])
    assert filled.told("crm_features_unknown_total") == before + 1


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_age_is_that_of_the_oldest_row_and_is_measured(
    filled: Filled, zone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        if filled.redis_url is None and zone != "UTC":
            filled = Filled(tmp_path)
        stored = read(filled.reader(), customer_id=[1, 2], branch=["b1", "b2"], car_id=[1, 1])
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    gap = stored.ages["branch_history"] - stored.ages["customer_history"]
    assert gap == pytest.approx(30 * 3600, abs=1)
    assert 0 <= stored.ages["customer_history"] < 2 * 86_400
    assert filled.told("crm_feature_age_seconds_count") > 0


@pytest.mark.parametrize("identity", [2**63, -(2**63) - 1, "seven", 1.5])
def test_an_id_that_no_key_can_hold_is_a_422_that_names_the_field(filled: Filled, identity: Any) -> None:
    with pytest.raises(Refusal) as refused:
        read(filled.reader(), customer_id=[identity])
    assert (refused.value.status, refused.value.field) == (422, "customer_id")


def test_the_largest_ids_are_unknown_entities(filled: Filled) -> None:
    stored = read(filled.reader(), customer_id=[2**63 - 1, -(2**63)])
    assert "unknown:customer_history" in stored.flags


def test_stale_rows_are_flagged_left_out_or_refused(filled: Filled) -> None:
    ids: dict[str, list[Any]] = {"customer_id": [1], "branch": ["b1"], "car_id": [1]}
    age_h = read(filled.reader(), **ids).ages["branch_history"] / 3600
    policy = {"stale_after_hours": age_h - 1}
    flagged = read(filled.reader(**policy), **ids)
    assert flagged.flags == ("stale:branch_history",)
    assert flagged.columns["branch_history__count_7d"] == filled.feast(ids)["branch_history__count_7d"]
    fallen = read(filled.reader(**policy, when_stale="fallback"), **ids)
    assert fallen.flags == ("stale:branch_history",)
    assert fallen.columns["branch_history__count_7d"] == 0
    assert fallen.columns["customer_history__count_7d"] == filled.feast(ids)["customer_history__count_7d"]
    with pytest.raises(Refusal, match="stale") as refused:
        read(filled.reader(**policy, when_stale="refuse"), **ids)
    assert refused.value.status == 503


NUMBERS = st.one_of(
    st.tuples(st.just("int32_val"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("int64_val"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("double_val"), st.floats()),
    st.tuples(st.just("float_val"), st.floats(width=32)),
    st.tuples(st.just("bool_val"), st.booleans()),
)


@given(NUMBERS)
@settings(max_examples=300, deadline=None)
def test_a_value_is_read_as_protobuf_wrote_it(pair: tuple[str, Any]) -> None:
    with quiet():
        from feast.protos.feast.types.Value_pb2 import Value
    kind, number = pair
    np.testing.assert_equal(number_of(Value(**{kind: number}).SerializeToString()), np.float64(number))


def test_what_holds_no_value_is_missing() -> None:
    with quiet():
        from feast.protos.feast.types.Value_pb2 import Value
    for value in (None, b"", Value().SerializeToString(), Value(null_val=0).SerializeToString()):
        assert np.isnan(number_of(value))


@given(st.binary(max_size=16))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_number_or_a_value_error(data: bytes) -> None:
    for decode in (number_of, seconds_of):
        with contextlib.suppress(ValueError):
            assert isinstance(decode(data), float)


@given(st.integers(0, 2**33), st.integers(0, 10**9 - 1))
@settings(max_examples=200, deadline=None)
def test_a_timestamp_is_read_as_protobuf_wrote_it(seconds: int, nanos: int) -> None:
    from google.protobuf.timestamp_pb2 import Timestamp

    assert seconds_of(Timestamp(seconds=seconds, nanos=nanos).SerializeToString()) == seconds + nanos / 1e9


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_keys_are_those_that_feast_makes(filled_manifest: dict[str, Any], number: int, text: str) -> None:
    with quiet():
        from feast.infra.key_encoding_utils import serialize_entity_key
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value
    views = {view["view"]: OnlineView.from_json(view) for view in filled_manifest["views"]}
    for name, identity, value in (
        ("customer_history", number, Value(int64_val=number)),
        ("branch_history", text, Value(string_val=text)),
    ):
        key = EntityKey(join_keys=[views[name].entity], entity_values=[value])
        assert views[name].key(identity) == serialize_entity_key(key, 3)


@pytest.fixture(scope="module")
def filled_manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    manifest: dict[str, Any] = Filled(tmp_path_factory.mktemp("manifest")).manifest
    assert [OnlineView.from_json(v).to_json() for v in manifest["views"]] == [
        {**v, "features": tuple(v["features"]), "zero": tuple(v["zero"])} for v in manifest["views"]
    ]
    return manifest
