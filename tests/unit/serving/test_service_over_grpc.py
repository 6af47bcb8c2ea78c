"""The service over gRPC, by its real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from background_program import free_port
from otlp_collector import Collector, attributes

from carrental_mlops.serving.app import App
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.grpc_server import GrpcServer
from carrental_mlops.serving.oip import open_inference_pb2 as oip
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.traces import Traces


class SlowStore:
    """A feature reader that knows nothing and takes its time."""

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def read(self, values: Mapping[str, Sequence[Any]], rows: int) -> Stored:
        """Nothing, after half a second."""
        await asyncio.sleep(0.5)
        return Stored({}, {})


CALL = "/inference.GRPCInferenceService/{}"


class Grpc:
    """Calls of one channel."""

    def __init__(self, port: int) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)

    def send(self, name: str, body: bytes, **options: Any) -> bytes:
        """The bytes that come back."""
        reply: bytes = self.channel.unary_unary(CALL.format(name))(body, timeout=20, **options)
        return reply

    def infer(self, message: Any, **options: Any) -> Any:
        """The reply to an inference."""
        sent = message.SerializeToString()
        return oip.ModelInferResponse.FromString(self.send("ModelInfer", sent, **options))

    def refused(self, message: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
        """(code, details) of an inference that gets no answer."""
        with pytest.raises(grpc.RpcError) as caught:
            self.infer(message, **options)
        error: Any = caught.value
        return error.code(), error.details()


@pytest.fixture
def called(served: Callable[[App], Any], make_app: Callable[..., App]) -> Iterator[Callable[..., Grpc]]:
    """Serves an application, and calls it."""
    opened = []

    def start(app: App | None = None, **settings: Any) -> Grpc:
        app = app or make_app(grpc_port=free_port(), **settings)
        served(app)
        opened.append(Grpc(app.endpoint.settings.grpc_port or 0))
        return opened[-1]

    yield start
    for client in opened:
        client.channel.close()


def message(rows: int = 1, **columns: tuple[str, str, list[Any]]) -> Any:
    """A request with typed contents."""
    asked = oip.ModelInferRequest(model_name="payments", id="a1")
    given: dict[str, tuple[str, str, list[Any]]] = {
        "customer_id": ("INT64", "int64_contents", [7] * rows),
        "paid_at": ("BYTES", "bytes_contents", [b"2026-03-01T10:30:00Z"] * rows),
        "amount_eur": ("FP64", "fp64_contents", [120.5] * rows),
        "rental_days": ("FP64", "fp64_contents", [3.0] * rows),
        **columns,
    }
    for name, (datatype, contents, values) in given.items():
        tensor = asked.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        getattr(tensor.contents, contents).extend(values)
    return asked


def offline(model: Any, service: Any, amounts: list[float], days: list[float]) -> list[float]:
    """Scores without a server."""
    request = {"amount_eur": amounts, "rental_days": days, "paid_at": [1772361000.0] * len(days)}
    scores: list[float] = service(model).answer(request).scores.tolist()
    return scores


def test_typed_contents_are_answered_as_offline(called: Callable[..., Grpc], make_app: Any, model: Any) -> None:
    amounts, days = [120.5, 1_900.0, 3.25], [3.0, 20.0, float("nan")]
    reply = called().infer(
        message(3, amount_eur=("FP64", "fp64_contents", amounts), rental_days=("FP64", "fp64_contents", days))
    )
    service = type(make_app().endpoint.service)
    assert list(reply.outputs[0].contents.fp64_contents) == offline(model, service, amounts, days)
    assert [t.name for t in reply.outputs] == ["score", "decision", "reason"]
    assert reply.outputs[1].contents.bytes_contents[0] in (b"accept", b"block")
    assert (reply.model_name, reply.model_version, reply.id) == ("payments", "3", "a1")


def test_raw_contents_are_answered_raw(called: Callable[..., Grpc], make_app: Any, model: Any) -> None:
    asked, when = message(), b"2026-03-01T10:30:00Z"
    for tensor in asked.inputs:
        tensor.ClearField("contents")
    asked.raw_input_contents.extend(
        [
            np.int64(7).tobytes(),
            len(when).to_bytes(4, "little") + when,
            np.float64(120.5).tobytes(),
            b"\0\0\0\0\0\0\x08@",
        ]
    )
    asked.outputs.add(name="score")
    reply = called().infer(asked)
    service = type(make_app().endpoint.service)
    assert np.frombuffer(reply.raw_output_contents[0], "<f8").tolist() == offline(model, service, [120.5], [3.0])
    assert len(reply.outputs) == len(reply.raw_output_contents) == 1


def test_an_optional_field_may_be_left_out(called: Callable[..., Grpc], make_app: Any, model: Any) -> None:
    asked = message()
    del asked.inputs[3]
    service = type(make_app().endpoint.service)
    score = called().infer(asked).outputs[0].contents.fp64_contents[0]
    assert [score] == offline(model, service, [120.5], [float("nan")])


def test_what_does_not_fit_is_an_invalid_argument_that_names_the_field(called: Callable[..., Grpc]) -> None:
    client = called()
    code, details = client.refused(message(amount_eur=("FP64", "fp64_contents", [-1.0])))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "amount_eur" in details
    twice = message()
    twice.raw_input_contents.append(b"")
    wrong_text = message(paid_at=("BYTES", "bytes_contents", [b"\xff"]))
    infinite = message(amount_eur=("FP64", "fp64_contents", [float("inf")]))
    odd = message(amount_eur=("FP16", "fp32_contents", [1.0]))
    no_output = message()
    no_output.outputs.add(name="nope")
    for asked in (twice, wrong_text, infinite, odd, no_output, oip.ModelInferRequest(model_name="payments")):
        assert client.refused(asked)[0] is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        client.send("ModelInfer", b"\xff\xff\xff")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_another_model_or_version_is_not_found(called: Callable[..., Grpc]) -> None:
    client, asked = called(), message()
    asked.model_version = "9"
    assert client.refused(asked)[0] is grpc.StatusCode.NOT_FOUND
    asked.model_name = "rentals"
    assert client.refused(asked)[0] is grpc.StatusCode.NOT_FOUND


def test_too_many_rows_and_too_long_messages_are_refused(called: Callable[..., Grpc]) -> None:
    client = called(max_rows=2, max_body_kb=4)
    assert client.refused(message(3))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert client.refused(message(400))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    bomb = message(note=("BYTES", "bytes_contents", [b"a" * (1 << 20)]))
    assert client.refused(bomb, compression=grpc.Compression.Gzip)[0] is not grpc.StatusCode.OK
    assert client.infer(message(2)).outputs[0].shape == [2]


def test_the_deadline_is_kept(called: Callable[..., Grpc], make_app: Any) -> None:
    app = make_app(grpc_port=free_port())
    app.endpoint.settings = app.endpoint.settings.model_copy(update={"deadline_ms": 1e-6})
    assert called(app).refused(message())[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_health_and_metadata(called: Callable[..., Grpc]) -> None:
    client = called()
    assert oip.ServerLiveResponse.FromString(client.send("ServerLive", b"")).live
    assert oip.ServerReadyResponse.FromString(client.send("ServerReady", b"")).ready
    named = oip.ModelReadyRequest(name="payments", version="3").SerializeToString()
    assert oip.ModelReadyResponse.FromString(client.send("ModelReady", named)).ready
    known = oip.ModelMetadataResponse.FromString(client.send("ModelMetadata", named))
    assert [(t.name, t.datatype) for t in known.inputs][:2] == [("customer_id", "INT64"), ("paid_at", "BYTES")]
    assert [t.name for t in known.outputs] == ["score", "decision", "reason"]
    assert oip.ServerMetadataResponse.FromString(client.send("ServerMetadata", b"")).name == "carrental-mlops"


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_host_of_ipv6_is_listened_on(make_app: Any, host: str) -> None:
    async def story() -> None:
        server = GrpcServer(make_app(host=host, grpc_port=0))
        await server.start()
        assert server.port > 0
        async with grpc.aio.insecure_channel(f"[::1]:{server.port}") as channel:
            reply = await channel.unary_unary(CALL.format("ServerLive"))(b"", timeout=20)
        await server.stop(0)
        assert oip.ServerLiveResponse.FromString(reply).live

    asyncio.run(story())


def test_inferences_are_counted(called: Callable[..., Grpc], make_app: Any) -> None:
    app = make_app(grpc_port=free_port())
    client = called(app)
    client.infer(message())
    client.refused(message(amount_eur=("FP64", "fp64_contents", [-1.0])))
    client.send("ServerLive", b"")
    text = app.metrics.text().decode()
    assert 'crm_requests_total{code="200",model="payments",version="3"} 1.0' in text
    assert 'crm_requests_total{code="422",model="payments",version="3"} 1.0' in text


def test_calls_over_the_queue_are_refused(called: Callable[..., Grpc], make_app: Any) -> None:
    app = make_app(grpc_port=free_port(), queue=2)
    app.endpoint.reader = SlowStore()
    client = called(app)
    codes = [str(call.code()) for call in _at_once(client, 6)]
    assert sorted(codes) == ["StatusCode.OK"] * 2 + ["StatusCode.RESOURCE_EXHAUSTED"] * 4


def test_calls_in_work_are_answered_when_the_server_stops(make_app: Any) -> None:
    from carrental_mlops.serving.server import Server, config_of

    app = make_app(grpc_port=free_port())
    app.endpoint.reader = SlowStore()
    server = Server(config_of(app), app)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not app.ready or not server.started:
        time.sleep(0.01)
    client = Grpc(app.endpoint.settings.grpc_port)
    client.send("ServerLive", b"", wait_for_ready=True)
    calls = _begin(client, 5)
    time.sleep(0.2)
    server.should_exit = True
    assert [call.code() for call in calls] == [grpc.StatusCode.OK] * 5
    thread.join(10)
    assert not thread.is_alive()
    client.channel.close()


def _begin(client: Grpc, count: int) -> list[Any]:
    sent = message().SerializeToString()
    return [client.channel.unary_unary(CALL.format("ModelInfer")).future(sent, timeout=20) for _ in range(count)]


def _at_once(client: Grpc, count: int) -> list[Any]:
    calls = _begin(client, count)
    for call in calls:
        call.code()
    return calls


class KnownToken:
    """A door that lets one token in."""

    async def start(self) -> None:
        """Nothing to open."""

    async def caller(self, headers: Sequence[tuple[bytes, bytes]], client: tuple[str, int] | None) -> str:
        """`tests`, for the token."""
        if (b"authorization", b"Bearer of-the-tests") not in headers or client is None or client[0] != "127.0.0.1":
            raise Refusal(401, "who asks?")
        return "tests"


def test_callers_are_held_to_the_door_and_their_trace_is_passed_on(called: Callable[..., Grpc], make_app: Any) -> None:
    app = make_app(grpc_port=free_port())
    app.door, kept = KnownToken(), []

    class Kept:
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def keep(self, event: Any) -> None:
            kept.append((event.caller, event.trace))

    app.endpoint.trail = Kept()
    client = called(app)
    assert client.refused(message())[0] is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError):
        client.send("ServerMetadata", b"")
    client.send("ServerReady", b"")
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    known = ("authorization", "Bearer of-the-tests")
    client.infer(message(), metadata=[known, ("traceparent", trace)])
    client.infer(message(), metadata=[known, ("traceparent", "nonsense")])
    assert kept == [("tests", trace), ("tests", None)]


def test_a_call_leaves_a_span_that_says_how_it_ended(called: Callable[..., Grpc], make_app: Any) -> None:
    collector, app = Collector(), make_app(grpc_port=free_port())
    try:
        client = called(App(app.endpoint, app.metrics, traces=Traces(collector.url, 1.0, "payments", "3")))
        parent = f"00-{'1' * 32}-{'2' * 16}-01"
        call = client.channel.unary_unary(CALL.format("ModelInfer"))
        _, told = call.with_call(message().SerializeToString(), metadata=[("traceparent", parent)], timeout=20)
        client.refused(message(amount_eur=("FP64", "fp64_contents", [-1.0])))
        good, bad = collector.wait_for(2)
    finally:
        collector.server.shutdown()
        collector.server.server_close()
    assert good.trace_id.hex() == "1" * 32 and good.parent_span_id.hex() == "2" * 16
    assert dict(told.trailing_metadata())["traceparent"][36:52] == good.span_id.hex()
    assert attributes(good)["crm.rows"] == 1 and attributes(good)["http.response.status_code"] == 200
    assert attributes(bad)["http.response.status_code"] == 422
