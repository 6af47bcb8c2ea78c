"""The service asks Feast's own feature server, in a process of its own, in front of the SQLite that we filled.

The process is what `feast serve` runs without gunicorn: in this environment gunicorn's worker does not fit uvicorn's
version, so that the command itself does not start.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from background_program import answers, free_port, process
from online_parts import CUSTOMERS, Filled, Proxy, answering, listening

from carrental_mlops.errors import PlatformError
from carrental_mlops.integrations.feast_store import feast_folder, online_config, project_name
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.online import OnlineReader
from carrental_mlops.serving.refusal import Refusal

pytestmark = pytest.mark.e2e

ENTITIES: dict[str, list[Any]] = {"customer_id": [1], "branch": ["b1"], "car_id": [1]}
SERVE = """
import sys, uvicorn
from feast import FeatureStore
from feast.feature_server import get_app
uvicorn.run(get_app(FeatureStore(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), access_log=False)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def port(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("served")
    feast = feast_folder(filled.context)
    config = {
        "project": project_name(filled.context),
        "provider": "local",
        "registry": {"registry_type": "file", "path": str(feast / "registry.db")},
        "offline_store": {"type": "file"},
        "online_store": online_config(feast),
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    with process(folder, "feast", sys.executable, "-c", SERVE, str(folder), str(port)) as started:
        answers(f"http://127.0.0.1:{port}/health", 120, started, folder / "feast.log")
        yield port


def through(port: int, filled: Filled, **policy: Any) -> OnlineReader:
    return filled.reader(**{"source": "server", "feast_url": f"http://127.0.0.1:{port}", **policy})


def with_reader(reader: OnlineReader, body: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        await reader.start()
        try:
            return await body()
        finally:
            await reader.stop()

    return asyncio.run(whole())


def read(reader: OnlineReader, **values: list[Any]) -> Stored:
    found: Stored = with_reader(reader, lambda: reader.read(values, len(next(iter(values.values())))))
    return found


def test_every_type_and_key_equals_feasts_own_call_and_ours_bit_for_bit(filled: Filled, port: int) -> None:
    n = CUSTOMERS + 10
    ids = {
        "customer_id": [None if i % 50 == 3 else i for i in range(n)],
        "branch": [("b1", "Ω München", "nowhere", None)[i % 4] for i in range(n)],
        "car_id": [i % 60 for i in range(n)],
    }
    by_server, direct = read(through(port, filled), **ids), read(filled.reader(), **ids)
    for name, values in by_server.columns.items():
        np.testing.assert_array_equal(values.view(np.int64), direct.columns[name].view(np.int64), err_msg=name)
    assert by_server.flags == direct.flags
    assert by_server.ages == pytest.approx(direct.ages, abs=60)


def test_an_id_beyond_int64_is_a_422(filled: Filled, port: int) -> None:
    with pytest.raises(Refusal) as refused:
        read(through(port, filled), customer_id=[2**63])
    assert refused.value.status == 422


def test_stale_features_fall_under_the_policy(filled: Filled, port: int) -> None:
    assert "stale:branch_history" in read(through(port, filled, stale_after_hours=1), **ENTITIES).flags
    with pytest.raises(Refusal, match="stale"):
        read(through(port, filled, stale_after_hours=1, when_stale="refuse"), **ENTITIES)


@pytest.mark.parametrize("policy", ["flag", "refuse"])
def test_a_slow_server_costs_no_more_than_the_budget_and_is_asked_again(filled: Filled, port: int, policy: str) -> None:
    proxy = Proxy(port)
    with listening(proxy.handle) as slow:
        reader = through(slow, filled, budget_ms=300, when_stale=policy)

        async def body() -> None:
            proxy.delay_s = 1.5
            started = time.perf_counter()
            if policy == "refuse":
                with pytest.raises(Refusal):
                    await reader.read(ENTITIES, 1)
            else:
                assert (await reader.read(ENTITIES, 1)).flags == ("late",)
            assert time.perf_counter() - started < 0.3 + 0.3
            proxy.delay_s = 0
            await asyncio.sleep(0.5)
            assert (await answered(reader)).flags == ()

        with_reader(reader, body)


async def answered(reader: OnlineReader) -> Stored:
    for _ in range(20):
        try:
            if "late" not in (stored := await reader.read(ENTITIES, 1)).flags:
                return stored
        except Refusal:
            pass
    return stored


@pytest.mark.parametrize(
    "data",
    [
        b"+OK\r\n",
        b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{",
    ],
)
def test_nonsense_from_the_server_falls_under_the_policy(filled: Filled, data: bytes) -> None:
    with listening(answering(data, login=0)) as wrong:
        reader = through(wrong, filled, budget_ms=300)
        assert read(reader, **ENTITIES).flags == ("late",)


def test_the_service_starts_without_the_server_unless_the_policy_refuses(filled: Filled) -> None:
    nobody = free_port()
    assert read(through(nobody, filled), **ENTITIES).flags == ("late",)
    with pytest.raises(PlatformError, match="feature server does not answer"):
        read(through(nobody, filled, when_stale="refuse"), **ENTITIES)
