"""A Redis that is down, slow or answers nonsense: the policy decides, the budget holds, the connection comes back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from background_program import free_port
from online_parts import Filled, Proxy, RedisServer, answering, listening

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.online import OnlineReader
from carrental_mlops.serving.refusal import Refusal

pytestmark = pytest.mark.slow

ENTITIES: dict[str, list[Any]] = {"customer_id": [1], "branch": ["b1"], "car_id": [1]}
BUDGET_MS = 60
SLACK_S = 0.25
"""Beyond the budget, on a busy machine."""

NONSENSE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\xff\x00garbage\r\n",
    b"+OK\r\n" * 3,
    b":7\r\n" * 9,
    b"$3\r\nabc\r\n" * 3,
    b"*-1\r\n" * 3,
    b"*1\r\n$1\r\nx\r\n" * 3,
    b"*5\r\n" + b"*1\r\n:1\r\n" * 5,
    b"*5\r\n$3\r\nab",
    b"*99\r\n",
    b"-LOADING Redis is loading\r\n" * 3,
]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def filled(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(tmp_path_factory.mktemp("repo"), redis_server.url)


async def settled(reader: OnlineReader, within_s: float = 5) -> Stored:
    """The first answer that is not late."""
    deadline = time.monotonic() + within_s
    while True:
        stored = await reader.read(ENTITIES, 1)
        if "late" not in stored.flags or time.monotonic() > deadline:
            return stored
        await asyncio.sleep(0.02)


def assert_held(policy: str, outcome: Stored | Refusal, seconds: float) -> None:
    assert seconds < BUDGET_MS / 1e3 + SLACK_S
    if policy == "refuse":
        assert isinstance(outcome, Refusal)
        assert outcome.status == 503
    else:
        assert isinstance(outcome, Stored)
        assert outcome.flags == ("late",)
        assert outcome.ages == {}
        assert float(outcome.columns["customer_history__count_7d"][0]) == 0
        assert np.isnan(outcome.columns["car__price"][0])


async def timed(reader: OnlineReader) -> tuple[Stored | Refusal, float]:
    started = time.perf_counter()
    try:
        outcome: Stored | Refusal = await reader.read(ENTITIES, 1)
    except Refusal as refusal:
        outcome = refusal
    return outcome, time.perf_counter() - started


def with_reader(reader: OnlineReader, body: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        await reader.start()
        try:
            return await body()
        finally:
            await reader.stop()

    return asyncio.run(whole())


@pytest.mark.parametrize("policy", ["flag", "fallback", "refuse"])
def test_a_redis_that_dies_falls_under_the_policy_and_its_successor_is_found(
    filled: Filled, policy: str, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    own = Filled(tmp_path, server.url)
    reader = own.reader(budget_ms=BUDGET_MS, when_stale=policy)

    async def body() -> None:
        await asyncio.sleep(0.05)
        server.stop()
        late = own.told("crm_features_late_total")
        for _ in range(3):
            assert_held(policy, *await timed(reader))
        assert own.told("crm_features_late_total") == late + 3
        server.start()
        deadline = time.monotonic() + 5
        while not isinstance((await timed(reader))[0], Stored) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert "late" not in (await settled(reader)).flags

    try:
        with_reader(reader, body)
    finally:
        server.stop()


@pytest.mark.parametrize("policy", ["flag", "refuse"])
def test_a_slow_redis_costs_no_more_than_the_budget(filled: Filled, redis_server: RedisServer, policy: str) -> None:
    proxy = Proxy(redis_server.port)
    with listening(proxy.handle) as port:
        reader = filled.reader(f"redis://127.0.0.1:{port}/1", budget_ms=BUDGET_MS, when_stale=policy)

        async def body() -> None:
            proxy.delay_s = 0.4
            for _ in range(3):
                assert_held(policy, *await timed(reader))

        with_reader(reader, body)


def test_late_replies_are_never_taken_for_another_entitys(filled: Filled, redis_server: RedisServer) -> None:
    wanted = filled.feast({"customer_id": list(range(100)), "branch": ["b1"] * 100, "car_id": [0] * 100})
    proxy = Proxy(redis_server.port)
    with listening(proxy.handle) as port:
        reader = filled.reader(f"redis://127.0.0.1:{port}/1", budget_ms=BUDGET_MS)

        async def body() -> None:
            proxy.delay_s = 0.2
            late = [await reader.read({"customer_id": [customer]}, 1) for customer in range(5)]
            assert {stored.flags for stored in late} == {("late",)}
            proxy.delay_s = 0
            await settled(reader)
            read = 0
            for customer in range(100):
                stored = await reader.read({"customer_id": [customer]}, 1)
                if stored.flags != ("late",):
                    read += 1
                    for name in ("customer_history__count_30d", "customer_history__amount_mean_30d"):
                        np.testing.assert_equal(stored.columns[name][0], wanted[name][customer])
            assert read > 50

        with_reader(reader, body)


def test_requests_at_the_same_time_get_their_own_rows(filled: Filled) -> None:
    wanted = filled.feast({"customer_id": list(range(200)), "branch": ["b1"] * 200, "car_id": [0] * 200})
    reader = filled.reader()

    async def body() -> list[Stored]:
        return await asyncio.gather(*(reader.read({"customer_id": [customer]}, 1) for customer in range(200)))

    for customer, stored in enumerate(with_reader(reader, body)):
        np.testing.assert_equal(
            stored.columns["customer_history__amount_mean_7d"][0],
            wanted["customer_history__amount_mean_7d"][customer],
        )


@pytest.mark.parametrize("data", NONSENSE)
@pytest.mark.parametrize("policy", ["flag", "refuse"])
def test_nonsense_instead_of_replies_falls_under_the_policy(filled: Filled, data: bytes, policy: str) -> None:
    with listening(answering(data)) as port:
        reader = filled.reader(f"redis://127.0.0.1:{port}/1", budget_ms=BUDGET_MS, when_stale=policy)

        async def body() -> None:
            for _ in range(2):
                assert_held(policy, *await timed(reader))

        with_reader(reader, body)


def test_a_stored_value_that_is_no_protobuf_harms_only_its_own_requests(
    filled: Filled, redis_server: RedisServer
) -> None:
    import redis

    from carrental_mlops.serving.online_view import OnlineView

    view = OnlineView.from_json(filled.manifest["views"][0])
    with redis.Redis.from_url(redis_server.url) as client:
        client.hset(view.key(77) + view.tail, mapping={view.fields[0]: b"\x07nonsense"})
    reader = filled.reader()

    async def body() -> None:
        broken, whole = await asyncio.gather(reader.read(ENTITIES | {"customer_id": [77]}, 1), reader.read(ENTITIES, 1))
        assert broken.flags == ("late",)
        assert whole.flags == ()

    with_reader(reader, body)


def test_a_connection_that_goes_silent_is_given_up(filled: Filled, redis_server: RedisServer) -> None:
    proxy = Proxy(redis_server.port)
    with listening(proxy.handle) as port:
        reader = filled.reader(f"redis://127.0.0.1:{port}/1", budget_ms=BUDGET_MS)

        async def body() -> None:
            await settled(reader)
            proxy.delay_s = 3600
            assert (await reader.read(ENTITIES, 1)).flags == ("late",)
            proxy.delay_s = 0  # the old connection's answer still sleeps
            assert "late" not in (await settled(reader)).flags

        with_reader(reader, body)


def test_the_service_starts_without_redis_unless_the_policy_refuses(filled: Filled) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/1"
    with_reader(filled.reader(nobody, when_stale="flag"), lambda: asyncio.sleep(0))
    with pytest.raises(PlatformError, match="does not answer"):
        with_reader(filled.reader(nobody, when_stale="refuse"), lambda: asyncio.sleep(0))


def test_a_wrong_password_keeps_the_service_from_starting_and_is_not_shown(filled: Filled, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "right")
    try:
        with pytest.raises(PlatformError, match="WRONGPASS") as caught:
            with_reader(filled.reader(server.url.replace("right", "wr0ng")), lambda: asyncio.sleep(0))
        assert "wr0ng" not in str(caught.value)
    finally:
        server.stop()


def test_a_locked_sqlite_file_costs_no_more_than_the_budget(tmp_path: Path) -> None:
    own = Filled(tmp_path)
    reader = own.reader(budget_ms=BUDGET_MS)
    with sqlite3.connect(tmp_path / own.manifest["path"]) as writer:

        async def body() -> None:
            writer.execute("BEGIN EXCLUSIVE")
            assert_held("flag", *await timed(reader))
            writer.rollback()
            assert (await reader.read(ENTITIES, 1)).flags == ()

        with_reader(reader, body)
    writer.close()


def test_a_sqlite_file_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    own = Filled(tmp_path)
    (tmp_path / own.manifest["path"]).unlink()
    with pytest.raises(PlatformError, match="crm run features"):
        with_reader(own.reader(), lambda: asyncio.sleep(0))
