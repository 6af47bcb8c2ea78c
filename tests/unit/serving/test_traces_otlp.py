"""Traces reach a real OTLP/HTTP receiver, follow the caller's decision, and never stand in the way of an answer."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from otlp_collector import Collector, attributes

from carrental_mlops.serving.app import App
from carrental_mlops.serving.traceparent import read_traceparent
from carrental_mlops.serving.traces import Traces

CALLERS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_KEPT = CALLERS[:-1] + "0"


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def traced(make_app: Callable[..., App], served: Any) -> Callable[..., Any]:
    def start(url: str, ratio: float) -> Any:
        app = make_app()
        return served(App(app.endpoint, app.metrics, traces=Traces(url, ratio, "payments", "3")))

    return start


def test_a_span_says_model_version_rows_and_status_and_holds_no_input(
    traced: Any, collector: Collector, payment: dict[str, Any]
) -> None:
    client = traced(collector.url, 1.0)
    payment["inputs"].append({"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a-personal-note"]})
    status, headers, _ = client.ask("POST", "/v2/models/payments/infer", payment)
    assert status == 200
    client.infer({"inputs": payment["inputs"][:1]})
    good, bad = collector.wait_for(2)
    ours = read_traceparent(headers["traceparent"].encode())
    assert ours is not None and (good.trace_id.hex(), good.span_id.hex()) == (
        f"{ours.trace_id:032x}",
        f"{ours.span_id:016x}",
    )
    assert good.name == "infer payments" and good.end_time_unix_nano > good.start_time_unix_nano
    told = {"crm.model": "payments", "crm.model_version": "3"}
    assert attributes(good) == told | {"http.response.status_code": 200, "crm.rows": 1}
    assert attributes(bad) == told | {"http.response.status_code": 422, "crm.rows": 0}
    assert collector.resources[0]["service.name"] == "payments"
    assert b"a-personal-note" not in collector.raw and b"amount_eur" not in collector.raw


def test_the_callers_decision_goes_before_the_ratio(traced: Any, collector: Collector, payment: Any) -> None:
    never, always = traced(collector.url, 0.0), traced(collector.url, 1.0)
    kept = never.ask("POST", "/v2/models/payments/infer", payment, traceparent=CALLERS)[1]["traceparent"]
    span = collector.wait_for(1)[0]
    assert span.trace_id.hex() == CALLERS[3:35] == kept[3:35] and span.parent_span_id.hex() == CALLERS[36:52]
    assert kept[36:52] == span.span_id.hex() and kept.endswith("-01")
    passed_on = always.ask("POST", "/v2/models/payments/infer", payment, traceparent=NOT_KEPT)[1]["traceparent"]
    never.infer(payment)
    always.infer(payment)
    spans = collector.wait_for(2)
    assert passed_on == NOT_KEPT and len(spans) == 2 and spans[1].trace_id.hex() != CALLERS[3:35]


def test_a_malformed_traceparent_counts_as_none(traced: Any, collector: Collector, payment: Any) -> None:
    client = traced(collector.url, 0.0)
    for header in ("nonsense", "00-" + "0" * 32 + CALLERS[35:], CALLERS + "-more", "ff" + CALLERS[2:], "é" * 40):
        status, headers, _ = client.ask("POST", "/v2/models/payments/infer", payment, traceparent=header)
        assert status == 200 and "traceparent" not in headers
    assert read_traceparent(("cc" + CALLERS[2:] + "-more").encode()) is not None


@given(st.binary(max_size=80))
def test_no_header_breaks_the_reader(header: bytes) -> None:
    read_traceparent(header)


def test_the_share_that_is_kept_is_the_ratio_and_the_sampler_agrees() -> None:
    traces = Traces("http://127.0.0.1:9/v1/traces", 0.1, "payments", "3")
    traces.start()
    random.seed(0)
    kept = [traced for _ in range(20_000) if (traced := traces.begin(None))]
    traces.stop()
    assert 1_800 < len(kept) < 2_200
    sampler = TraceIdRatioBased(0.1)
    decisions = {sampler.should_sample(None, traced.span.trace_id, "x").decision for traced in kept if traced.span}
    assert decisions == {Decision.RECORD_AND_SAMPLE}


def test_with_the_collector_down_or_hanging_answers_go_on_and_the_queue_is_bounded(
    traced: Any, payment: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        client = traced(f"http://127.0.0.1:{hanging.getsockname()[1]}/v1/traces", 1.0)
        slowest = 0.0
        for _ in range(50):
            started = time.perf_counter()
            assert client.infer(payment)[0] == 200
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 1
        traces = Traces("http://127.0.0.1:9/v1/traces", 1.0, "payments", "3")
        traces.start()
        for _ in range(5_000):
            traces.end(traces.begin(None), 200)
        assert len(traces.waiting) <= 2_048
        started = time.perf_counter()
        traces.stop()
        assert time.perf_counter() - started < 4
        assert len([r for r in caplog.records if "were not taken" in r.message]) <= 1


def test_what_waits_is_sent_when_the_service_stops(collector: Collector) -> None:
    traces = Traces(collector.url, 1.0, "payments", "3")
    traces.start()
    for _ in range(10):
        traces.end(traces.begin(None), 503)
    traces.stop()
    assert len(collector.spans) == 10 and collector.spans[0].status.code == 2
