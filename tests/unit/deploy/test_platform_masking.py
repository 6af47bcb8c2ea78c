"""What a log line says of a person goes no further than the node; Fluent Bit runs the same file (tests/e2e)."""

from __future__ import annotations

from typing import Any

import pytest
from lupa import LuaRuntime

from carrental_mlops.assets import asset_dir

SCRIPT = (asset_dir("helm") / "platform" / "files" / "index.lua").read_text()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def _changed(record: dict[str, Any], data_class: str | None = "personal", tag: str = "pods.x") -> dict[str, Any]:
    lua = LuaRuntime()
    lua.execute(SCRIPT)
    labels = {"crm.carrental/data-class": data_class} if data_class else {}
    pod = {"namespace_name": "models", "pod_name": "payments-0a1b2c3d4e", "labels": labels}
    _, _, changed = lua.globals().index(tag, 0, lua.table_from({**record, "kubernetes": pod}, recursive=True))
    return dict(changed)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("licence B072RRE2I55 refused", "licence *** refused"),
        ("DE89 3704 0044 0532 0130 00 and DE89370400440532013000", "*** and ***"),
        ("ask erika.m@example.org or +49 170 1234567", "ask *** or ***"),
        ("card 4111-1111-1111-1111", "card ***"),
        ("took 1234 ms at 2026-11-21T12:00:00.123Z, app.py:199, HTTP/1.1 504", None),
        ("MLflow 3.17.2, 64 rows, customer_history__count_7d", None),
    ],
)
def test_what_looks_like_a_persons_number_is_masked_and_the_rest_is_not(text: str, left: str | None) -> None:
    assert _changed({"log": text})["log"] == (text if left is None else left)


@pytest.mark.parametrize("data_class", ["personal", "confidential", "unheard-of", None])
def test_only_a_pod_that_declares_less_is_left_as_it_is(data_class: str | None) -> None:
    record = {"message": "B072RRE2I55", "who": {"licence": ["B072RRE2I55"]}, "customer": 987654321012}
    changed = _changed(record, data_class)
    assert changed["message"] == changed["who"]["licence"][1] == changed["customer"] == "***"
    assert _changed(record, "internal")["message"] == "B072RRE2I55"


def test_the_trace_and_the_pods_name_are_kept() -> None:
    changed = _changed({"trace_id": TRACE, "message": "late"})
    assert (changed["trace_id"], changed["kubernetes"]["pod_name"]) == (TRACE, "payments-0a1b2c3d4e")


def test_fields_that_the_index_knows_are_texts() -> None:
    changed = _changed({"message": {"b": 1, "a": {"c": True}}, "level": 30}, "internal")
    assert (changed["message"], changed["level"]) == ("a=c=true b=1", "30")
