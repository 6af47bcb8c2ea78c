"""What stands in an event, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
from audit_parts import IDENTITY, event_of
from hypothesis import given
from hypothesis import strategies as st

from carrental_mlops.serving.audit_event import MASK, Rendering

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())


@given(
    inputs=st.dictionaries(st.text(min_size=1), st.lists(_VALUES, min_size=1, max_size=3)),
    clear=st.lists(st.text(min_size=1)),
)
def test_every_field_is_masked_but_those_that_the_policy_names(inputs: dict[str, list[Any]], clear: list[str]) -> None:
    clear = [*clear, *list(inputs)[:1]]
    line = Rendering(IDENTITY, clear)(event_of(inputs))
    assert line.count(b"\n") == 1
    told = orjson.loads(line)["data"]["inputs"]
    assert told.keys() == inputs.keys()
    assert all(value == MASK for name, value in told.items() if name not in clear)
    assert all(value != MASK for name, value in told.items() if name in clear)


def test_an_event_is_a_cloudevent_with_model_features_ages_and_trace() -> None:
    event = orjson.loads(Rendering(IDENTITY)(event_of(trace=TRACE)))
    assert {"specversion", "id", "source", "type"} <= event.keys()
    assert event["specversion"] == "1.0"
    assert event["source"] == "/models/payments/versions/3"
    assert event["traceparent"] == TRACE
    assert datetime.fromisoformat(event["time"]).tzinfo == UTC
    data = event["data"]
    assert data["model"] == {"name": "payments", "version": "3", "digest": "d" * 64}
    assert data["features"] == {"customer_history__count_7d": [3.0]}
    assert data["ages"] == {"customer_history": 60.0}
    assert (data["score"], data["decision"], data["reason"]) == ([0.25], ["accept"], [""])


def test_a_trace_header_that_is_none_does_not_get_in() -> None:
    assert b"traceparent" not in Rendering(IDENTITY)(event_of(trace="Erika Mustermann"))


def test_who_asked_is_masked_unless_the_policy_shows_it() -> None:
    asked = event_of(caller="erika@example.com")
    assert orjson.loads(Rendering(IDENTITY)(asked))["data"]["caller"] == MASK
    assert orjson.loads(Rendering(IDENTITY, show_caller=True)(asked))["data"]["caller"] == "erika@example.com"
    assert orjson.loads(Rendering(IDENTITY)(event_of()))["data"]["caller"] is None


def test_clear_values_that_json_lacks_are_written_as_text() -> None:
    inputs = {"a": [Decimal("1.10")], "b": [2**70, None], "c": [datetime(2026, 3, 1, tzinfo=UTC)]}
    told = orjson.loads(Rendering(IDENTITY, tuple(inputs))(event_of(inputs)))["data"]
    assert told["inputs"] == {"a": ["1.10"], "b": [str(2**70), None], "c": ["2026-03-01T00:00:00+00:00"]}


def test_scores_and_features_keep_every_bit() -> None:
    event = event_of()
    bits = np.random.default_rng(0).uniform(-1, 1, 2_000) ** 9
    event.features = {"a": bits}
    told = orjson.loads(Rendering(IDENTITY)(event))["data"]["features"]["a"]
    assert np.array(told).tobytes() == bits.tobytes()
