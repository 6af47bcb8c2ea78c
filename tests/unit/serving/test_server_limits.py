"""What one client can do to the others: too many requests, too slow, too large, cut off, or no HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_process import Tally, answer, request_bytes

from carrental_mlops.data.features import Arrays
from carrental_mlops.serving import ModelService
from carrental_mlops.serving.app import App
from carrental_mlops.serving.connections import Queue
from carrental_mlops.serving.server import Server, bound, config_of


class Served:
    """A server in a thread, with a look at its queue."""

    def __init__(self, app: App) -> None:
        config = config_of(app)
        self.queue: Queue = config.http.queue  # type: ignore[union-attr]
        self.port = app.endpoint.settings.port
        self.server = Server(config, app)
        listeners = [bound(app.endpoint.settings)]
        listeners += [listeners[0].dup() for _ in range(15)]
        self._thread = threading.Thread(target=self.server.run, args=(listeners,), daemon=True)
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)

    def raw(self, *parts: bytes, pause_s: float = 0, wait_s: float = 5) -> bytes:
        """All that comes back for `parts`, until the server closes or says nothing for `wait_s`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            found = b""
            with contextlib.suppress(OSError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)
            with contextlib.suppress(OSError):
                while data := connection.recv(1 << 16):
                    found += data
            return found

    def seconds_open(self, *parts: bytes, every_s: float, most_s: float = 8) -> float:
        """Seconds until the server closes on a client that sends one part every `every_s`."""
        started = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), timeout=every_s) as connection:
            for part in parts:
                with contextlib.suppress(TimeoutError):
                    try:
                        connection.sendall(part)
                        while connection.recv(1 << 16):
                            pass
                        break
                    except ConnectionError:
                        break
                if time.monotonic() - started > most_s:
                    break
        return time.monotonic() - started


@pytest.fixture
def serve(make_app: Callable[..., App]) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(*service: type[ModelService], **settings: Any) -> Served:
        running.append(Served(make_app(*service, **settings)))
        return running[-1]

    yield start
    for served in running:
        served.stop()


@pytest.fixture
def post(payment: dict[str, Any]) -> bytes:
    return request_bytes(payment)


def _slow(service: type[ModelService]) -> type[ModelService]:
    class Slow(service):  # type: ignore[misc,valid-type]
        def decide(self, *, scores: Any, columns: Arrays) -> Any:
            time.sleep(0.005)
            return np.where(scores >= self.model.threshold, "block", "accept")

    return Slow


def test_more_than_the_queue_takes_is_refused_at_once(
    serve: Callable[..., Served], post: bytes, payment_service: type[ModelService]
) -> None:
    """Arrivals are open: they come at their own rate, twice what the service can answer, whatever came back."""
    served = serve(_slow(payment_service), queue=16)
    tally, deepest = Tally(), 0

    async def one() -> None:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post)
        status, headers, _ = await answer(reader)
        assert status == 200 or headers["retry-after"] == "1"
        tally.statuses[status] += 1
        tally.seconds.setdefault(status, []).append(time.perf_counter() - started)
        writer.close()

    async def arrivals() -> None:
        nonlocal deepest
        begun, sent = time.perf_counter(), []
        for i in range(800):
            await asyncio.sleep(max(0, begun + i / 400 - time.perf_counter()))
            sent.append(asyncio.create_task(one()))
            deepest = max(deepest, served.queue.inside)
        await asyncio.gather(*sent)

    asyncio.run(arrivals())
    p99 = {status: float(np.quantile(seconds, 0.99)) for status, seconds in tally.seconds.items()}
    print(dict(tally.statuses), p99)  # noqa: T201
    assert set(tally.statuses) == {200, 429}
    assert deepest <= 16
    assert max(tally.seconds[200]) < 5
    assert np.median(tally.seconds[429]) < np.median(tally.seconds[200])
    assert served.queue.inside == 0


def test_what_waited_beyond_its_deadline_is_not_begun(
    serve: Callable[..., Served], post: bytes, payment_service: type[ModelService]
) -> None:
    served = serve(_slow(payment_service), deadline_ms=20)
    calls = 64
    found = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post)
        found.append((await answer(reader))[0])
        writer.close()

    async def burst() -> None:
        await asyncio.gather(*(one() for _ in range(calls)))

    asyncio.run(burst())
    assert set(found) <= {200, 504}
    assert found.count(504) > 0


@pytest.mark.parametrize(
    "parts",
    [
        (b"POST /v2",) + (b"x",) * 50,
        (b"GET /v2 HTTP/1.1\r\n",) + (b"a: b\r\n",) * 50,
        (b"\r\n",) * 50,
        (b"",) * 50,
    ],
    ids=["request line", "headers", "empty lines", "nothing"],
)
def test_a_head_that_comes_slowly_is_cut_off(serve: Callable[..., Served], parts: tuple[bytes, ...]) -> None:
    assert serve(head_timeout_s=0.5).seconds_open(*parts, every_s=0.1) < 3


def test_a_body_that_comes_slowly_is_refused_then_cut_off(serve: Callable[..., Served]) -> None:
    served = serve(body_timeout_s=0.5)
    head = b"POST /v2/models/payments/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n"
    assert served.raw(head + b"{").startswith(b"HTTP/1.1 408 ")
    assert served.seconds_open(head, *(b" ",) * 80, every_s=0.1) < 4
    assert served.queue.inside == 0


def test_an_idle_connection_is_closed(serve: Callable[..., Served], post: bytes) -> None:
    served = serve(keep_alive_s=0.5)
    assert 0.4 < served.seconds_open(post, b"", every_s=3) < 2.5


@pytest.mark.parametrize(
    ("requests", "settings"), [(10, {}), (1, {"keep_alive_s": 0.5})], ids=["at all", "the end of its answer"]
)
def test_a_client_that_does_not_read_is_cut_off(
    serve: Callable[..., Served], payment: dict[str, Any], requests: int, settings: dict[str, float]
) -> None:
    served = serve(**{"body_timeout_s": 0.5, **settings})
    rows = {"inputs": [{**t, "shape": [1000], "data": t["data"] * 1000} for t in payment["inputs"]]}
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(request_bytes(payment))
        assert connection.recv(12) == b"HTTP/1.1 200"
        (held,) = served.server.server_state.connections
        held.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        with contextlib.suppress(ConnectionError):
            for _ in range(requests):
                connection.sendall(request_bytes(rows))
        assert_no_connection_left(served)
    assert served.queue.inside == 0


def assert_no_connection_left(served: Served) -> None:
    deadline = time.monotonic() + 30
    while served.server.server_state.connections:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_asked_before_something_unreadable_is_answered_first(
    serve: Callable[..., Served], post: bytes
) -> None:
    found = serve().raw(post + b"nonsense\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 400 " in found


@pytest.mark.parametrize("chunk", [1 << 20, 1000])
def test_a_head_that_is_too_large_is_refused(serve: Callable[..., Served], chunk: int) -> None:
    whole = b"GET /v2 HTTP/1.1\r\nhost: t\r\n" + b"".join(b"h%d: %s\r\n" % (i, b"x" * 990) for i in range(60)) + b"\r\n"
    served = serve()
    found = served.raw(*(whole[i : i + chunk] for i in range(0, len(whole), chunk)))
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")
    assert served.raw(b"GET /v2 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_an_announced_body_that_is_too_large_is_refused_before_it_comes(serve: Callable[..., Served]) -> None:
    served = serve(max_body_kb=64)
    head = b"POST /v2/models/payments/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 4000000000\r\n\r\n"
    started = time.monotonic()
    found = served.raw(head, *(b" " * 60_000,) * 20)
    assert found == b"" or found.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - started < 4


def test_requests_sent_ahead_are_answered_in_order_up_to_a_limit(serve: Callable[..., Served], post: bytes) -> None:
    served = serve(queue=8, keep_alive_s=0.5)
    found = served.raw(post * 50)
    assert found.count(b"HTTP/1.1 200 ") == 50
    served.raw(post * 2_000)
    time.sleep(0.2)
    assert served.queue.inside == 0


_WHOLE = request_bytes(
    {"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [1.5]}]}, "/v2/models/payments/infer"
)
_PIECES = st.one_of(
    st.just(_WHOLE),
    st.integers(0, len(_WHOLE)).map(lambda cut: _WHOLE[:cut]),
    st.just(_WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")),
    st.just(_WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)),
    st.just(_WHOLE.replace(b"\r\n\r\n", b"\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", 1)),
    st.just(_WHOLE.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n", 1)),
    st.just(_WHOLE.replace(b"content-length: ", b"content-length: 9")),
    st.just(_WHOLE.replace(b"content-length", b"transfer-encoding: chunked\r\ncontent-length")),
    st.just(_WHOLE.replace(b"/v2/models/payments", b"/v2/\xff\xfe%zz%00")),
    st.just(b"CONNECT a:1 HTTP/1.1\r\n\r\n"),
    st.just(b"OPTIONS * HTTP/1.1\r\n\r\n"),
    st.binary(max_size=60),
    st.tuples(st.integers(0, len(_WHOLE) - 1), st.binary(min_size=1, max_size=4)).map(
        lambda at: _WHOLE[: at[0]] + at[1] + _WHOLE[at[0] + len(at[1]) :]
    ),
)


def test_whatever_comes_the_queue_is_empty_in_the_end_and_no_answer_is_a_5xx(serve: Callable[..., Served]) -> None:
    served = serve(queue=4, keep_alive_s=0.3, head_timeout_s=0.3, body_timeout_s=0.3)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(_PIECES, min_size=1, max_size=6), st.booleans())
    def fuzz(pieces: list[bytes], leaves: bool) -> None:
        if leaves:
            with socket.create_connection(("127.0.0.1", served.port)) as connection, contextlib.suppress(OSError):
                connection.sendall(b"".join(pieces))
            return
        started = time.monotonic()
        found = served.raw(*pieces, wait_s=30)
        assert time.monotonic() - started < 25, "it hangs"
        assert not re.search(rb"HTTP/1\.1 5\d\d ", found), found

    fuzz()
    deadline = time.monotonic() + 5
    while served.queue.inside:
        assert time.monotonic() < deadline, served.queue.inside
        time.sleep(0.05)


@pytest.mark.parametrize(
    "text",
    [
        '{"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [NaN]}]}',
        '{"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [1e999]}]}',
        '{"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [' + "9" * 5000 + "]}]}",
        '{"inputs": [{"name": "amount_eur", "shape": [99999999999999999999], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": [{"name": "amount_eur", "shape": [true], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": ' + "[" * 900 + "]" * 900 + "}",
        '{"inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": ' + "[" * 500 + "]" * 500 + "}]}",
        '{"inputs": [{"name": "\\ud800", "shape": [1], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": [], "inputs": {"a": 1}}',
        '{"id": 7, "inputs": [{"name": "amount_eur", "shape": [1], "datatype": "FP64", "data": [1]}]}',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_strange_body_is_the_clients_fault(serve: Callable[..., Served], text: str, encoding: str) -> None:
    body = (text + "é").encode(encoding) if encoding == "latin-1" else text.encode(encoding)
    found = serve().raw(request_bytes(body, "/v2/models/payments/infer", "connection: close"))
    assert re.match(rb"HTTP/1\.1 4\d\d ", found), found[:200]
    assert b"Traceback" not in found


def test_a_duplicate_key_is_read_once(serve: Callable[..., Served], payment: dict[str, Any]) -> None:
    text = json.dumps(payment)
    found = serve().raw(
        request_bytes(f'{{"inputs": [], {text[1:]}'.encode(), "/v2/models/payments/infer", "connection: close")
    )
    assert found.startswith(b"HTTP/1.1 200 ")
