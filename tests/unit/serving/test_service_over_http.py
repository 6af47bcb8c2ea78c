"""What a caller sees: answers, refusals that name the field, no trace of the inside."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from carrental_mlops.data.model import Model
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving.app import App
from carrental_mlops.serving.signature import Signature


@pytest.fixture
def client(make_app: Callable[..., App], served: Any) -> Any:
    return served(make_app(max_body_kb=64, max_rows=100))


def test_an_answer_holds_score_decision_and_reason(client: Any, payment: dict[str, Any], model: Model) -> None:
    status, reply = client.infer(payment)
    hour = 10.5
    expected = model.score({"amount_eur": [120.5], "rental_days": [3.0], "hour": [hour]})
    assert status == 200
    assert {o["name"]: o["data"] for o in reply["outputs"]} == {
        "score": expected.tolist(),
        "decision": ["accept"],
        "reason": [""],
    }
    assert (reply["model_name"], reply["model_version"]) == ("payments", "3")


def test_many_rows_are_answered_as_each_alone(client: Any, payment: dict[str, Any]) -> None:
    amounts = np.linspace(0, 2_000, 50).tolist()
    rows = {t["name"]: t["data"] * 50 for t in payment["inputs"]} | {"amount_eur": amounts}
    many = {"inputs": [{**t, "shape": [50], "data": rows[t["name"]]} for t in payment["inputs"]]}
    together = client.infer(many)[1]["outputs"][0]["data"]
    alone = []
    for amount in amounts[:10]:
        payment["inputs"][2]["data"] = [amount]
        alone += client.infer(payment)[1]["outputs"][0]["data"]
    assert together[:10] == alone


def test_an_optional_field_may_be_left_out_or_null(client: Any, payment: dict[str, Any]) -> None:
    left_out = {"inputs": payment["inputs"][:3]}
    payment["inputs"][3]["data"] = [None]
    assert client.infer(left_out)[1]["outputs"] == client.infer(payment)[1]["outputs"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("amount_eur", "7", "is not FP64"),
        ("amount_eur", True, "is not FP64"),
        ("amount_eur", -1, "greater than or equal to 0"),
        ("amount_eur", 1e300, "less than or equal to 20000"),
        ("amount_eur", None, "valid number"),
        ("customer_id", 1.5, "is not INT64"),
        ("paid_at", "yesterday", "valid datetime"),
        ("rental_days", 0, "greater than 0"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_name(
    client: Any, payment: dict[str, Any], name: str, value: Any, told: str
) -> None:
    next(t for t in payment["inputs"] if t["name"] == name)["data"] = [value]
    status, reply = client.infer(payment)
    assert (status, reply["field"]) == (422, name)
    assert told in reply["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"inputs": []}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 20_000, 400),
        (b'{"inputs": [1]}', 422),
        (b'{"inputs": [{"name": "amount_eur", "shape": [2], "datatype": "FP64", "data": [1]}]}', 422),
        (b'{"inputs": [{"name": "amount_eur", "shape": [-1], "datatype": "FP64", "data": [1]}]}', 422),
        (b'{"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP99", "data": [1]}]}', 422),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}', 422),
        (b" " * (65 << 10), 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(client: Any, body: bytes, status: int) -> None:
    found, _, reply = client.ask("POST", "/v2/models/payments/infer", body)
    assert found == status
    assert "Traceback" not in reply.decode()


def test_gzip_is_read_and_a_bomb_is_refused(client: Any, payment: dict[str, Any]) -> None:
    plain = client.infer(payment)[1]["outputs"]
    packed = gzip.compress(json.dumps(payment).encode())
    assert client.infer(packed, content_encoding="gzip")[1]["outputs"] == plain
    assert client.infer(gzip.compress(b" " * 50_000_000), content_encoding="gzip")[0] == 413
    assert client.infer(packed[:-9], content_encoding="gzip")[0] == 400
    assert client.infer(packed + packed, content_encoding="gzip")[0] == 400
    assert client.infer(packed, content_encoding="br")[0] == 415


def test_binary_tensors_give_the_same_bits(client: Any, payment: dict[str, Any]) -> None:
    plain = client.infer(payment)[1]["outputs"][0]["data"]
    instant = b"2026-03-01T10:30:00Z"
    parts = [
        struct.pack("<q", 7),
        struct.pack("<I", len(instant)) + instant,
        struct.pack("<d", 120.5),
        struct.pack("<d", 3.0),
    ]
    tensors = [
        {**{k: t[k] for k in ("name", "shape", "datatype")}, "parameters": {"binary_data_size": len(part)}}
        for t, part in zip(payment["inputs"], parts, strict=True)
    ]
    head = json.dumps({"inputs": tensors, "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}).encode()
    status, headers, reply = client.ask(
        "POST",
        "/v2/models/payments/infer",
        head + b"".join(parts),
        content_type="application/octet-stream",
        inference_header_content_length=str(len(head)),
    )
    assert status == 200
    assert list(struct.unpack("<d", reply[int(headers["inference-header-content-length"]) :])) == plain


def test_metadata_health_metrics_and_openapi_are_served(client: Any, payment: dict[str, Any]) -> None:
    client.infer(payment)
    inputs = json.loads(client.ask("GET", "/v2/models/payments")[2])["inputs"]
    assert [i["name"] for i in inputs if "parameters" not in i] == ["customer_id", "paid_at", "amount_eur"]
    assert client.ask("GET", "/v2/health/ready")[0] == 200
    assert b'crm_requests_total{code="200",model="payments",version="3"} 1.0' in client.ask("GET", "/metrics")[2]
    assert json.loads(client.ask("GET", "/openapi.json")[2])["openapi"] == "3.1.0"
    assert client.ask("GET", "/nothing")[0] == 404
    assert client.ask("GET", "/v2/models/payments/infer")[0] == 405


def test_times_without_a_zone_are_utc(client: Any, payment: dict[str, Any]) -> None:
    zoned = client.infer(payment)[1]["outputs"]
    payment["inputs"][1]["data"] = [datetime(2026, 3, 1, 10, 30, tzinfo=UTC).replace(tzinfo=None).isoformat()]
    assert client.infer(payment)[1]["outputs"] == zoned


@pytest.mark.parametrize("outputs", [[{"name": "score"}] * 2_000, [{"name": []}], [{"name": "nope"}], ["score"]])
def test_outputs_are_named_once_each_and_exist(client: Any, payment: dict[str, Any], outputs: list[Any]) -> None:
    status, reply = client.infer({**payment, "outputs": outputs})
    assert (status, reply["field"]) == (422, "outputs")


def test_a_whole_number_beyond_any_float_is_refused_by_its_field(client: Any, payment: dict[str, Any]) -> None:
    payment["inputs"][0] = {"name": "customer_id", "shape": [1], "datatype": "BYTES", "data": ["9" * 400]}
    status, reply = client.infer(payment)
    assert (status, reply["field"]) == (422, "customer_id")


def test_a_date_time_that_may_be_left_out_is_missing_then() -> None:
    class Visit(RowContract):
        """One field."""

        at: datetime | None = None

    numbers, _ = Signature(Visit).check({}, 2)
    assert np.isnan(numbers["at"]).tolist() == [True, True]
