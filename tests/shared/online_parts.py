"""A repo with stored features, a Redis on a free port, and servers that answer late or nonsense."""

from __future__ import annotations

import asyncio
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from background_program import free_port

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.core.context import Context
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.integrations import feast as crm_feast
from carrental_mlops.integrations.feast_manifest import online_manifest
from carrental_mlops.integrations.feast_store import quiet
from carrental_mlops.serving.online import OnlineReader, open_reader
from carrental_mlops.serving.telemetry import Metrics

NOW = pd.Timestamp.now("UTC").floor("D")
CUSTOMERS = 300


class Features(FeatureSet):
    """A history by number, one by text, and a view of the team's own in three types."""

    history = (
        History("customer_history", "customer_id", days=(7, 30), mean=("amount",)),
        History("branch_history", "branch", days=(7,)),
    )
    stored = ("car:price", "car:seats", "car:electric", "car:range")


def tables(n: int = CUSTOMERS) -> dict[str, pd.DataFrame]:
    """Snapshots by view; a fifth of the means is missing."""
    r = np.random.default_rng(0)
    customers = pd.DataFrame({"customer_id": np.arange(n), "event_timestamp": NOW})
    for days in (7, 30):
        customers[f"count_{days}d"] = r.integers(0, 9, n).astype(np.float64)
        customers[f"amount_mean_{days}d"] = np.where(r.random(n) < 0.2, np.nan, r.normal(50, 9, n))
    branches = [f"b{i}" for i in range(20)] + ["Ω München", ""]
    counts = r.integers(0, 9, len(branches)).astype(np.float64)
    branch = pd.DataFrame({"branch": branches, "event_timestamp": NOW - pd.Timedelta(hours=30), "count_7d": counts})
    return {"customer_history": customers, "branch_history": branch}


def team_views(root: Path) -> list[Any]:
    """`feature_views.VIEWS` of a team: cars, by number."""
    with quiet():
        from feast import Entity, FeatureView, Field, FileSource, ValueType
        from feast.types import Bool, Float32, Float64, Int64

        r, n = np.random.default_rng(1), 50
        cars = pd.DataFrame(
            {
                "car_id": np.arange(n),
                "event_timestamp": NOW,
                "price": r.normal(30, 5, n).astype(np.float32),
                "seats": r.integers(-(2**60), 2**60, n),
                "electric": r.random(n) < 0.5,
                "range": np.where(r.random(n) < 0.3, np.nan, r.normal(400, 90, n)),
            }
        )
        cars.to_parquet(root / "cars.parquet")
        car = Entity(name="car_id", join_keys=["car_id"], value_type=ValueType.INT64)
        kinds = {"price": Float32, "seats": Int64, "electric": Bool, "range": Float64}
        source = FileSource(name="cars", path="cars.parquet", timestamp_field="event_timestamp")
        fields = [Field(name=name, dtype=kind) for name, kind in kinds.items()]
        return [car, FeatureView(name="car", entities=[car], schema=fields, source=source, online=True)]


class Filled:
    """A repo whose snapshots are in SQLite, or in the Redis at `redis_url`."""

    def __init__(self, root: Path, redis_url: str | None = None) -> None:
        self.context, self.redis_url = Context(root=root, stores=True, service="fraud-payments"), redis_url
        crm_feast.materialise(self.context, Features, tables(), team_views(root), redis_url)
        self.manifest = online_manifest(self.context, Features, redis_url)
        self.metrics = Metrics("fraud-payments", "1", "d" * 64)

    def reader(self, redis_url: str | None = None, **policy: Any) -> OnlineReader:
        """The service's reader, with time for a busy machine; the oldest snapshot is 30 to 54 hours old."""
        settings = OnlineFeatures(**{"budget_ms": 5_000, "stale_after_hours": 72, **policy})
        return open_reader(self.context.root, self.manifest, settings, redis_url or self.redis_url, self.metrics)

    def feast(self, entities: Mapping[str, list[Any]]) -> dict[str, Any]:
        """What Feast's own call says."""
        return crm_feast.read_online(self.context, Features, dict(entities), self.redis_url)

    def told(self, name: str) -> float:
        """Sum over the labels of one metric."""
        samples = [sample for metric in self.metrics.registry.collect() for sample in metric.samples]
        return sum(sample.value for sample in samples if sample.name == name)


class RedisServer:
    """A real redis-server; `stop` and `start` again on the same port."""

    def __init__(self, folder: Path, password: str = "") -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("no redis-server on PATH: apt-get install redis-server")
        self.port, login = free_port(), ["--requirepass", password] if password else []
        self.command = [found, "--port", str(self.port), "--save", "", "--dir", str(folder), *login]
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/1"
        self.start()

    def start(self) -> None:
        """Returns once it listens."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


class Proxy:
    """TCP in front of a port; passes answers on after `delay_s`."""

    def __init__(self, target: int) -> None:
        self.target, self.delay_s = target, 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._copy(reader, back, False), self._copy(there, writer, True))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, slow: bool) -> None:
        while data := await source.read(65_536):
            if slow and self.delay_s:
                await asyncio.sleep(self.delay_s)
            sink.write(data)
        sink.close()


def answering(data: bytes, login: int = 1) -> Callable[..., Any]:
    """A server that says OK to the log-in, then `data` to whatever comes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(login):
            await reader.read(65_536)
            writer.write(b"+OK\r\n")
        while await reader.read(65_536):
            writer.write(data)
        writer.close()

    return handle


@contextmanager
def listening(handle: Callable[..., Any]) -> Iterator[int]:
    """The port of an asyncio server in a thread."""
    port, started = free_port(), queue.Queue[Callable[[], object]]()

    async def run() -> None:
        ended = asyncio.Event()
        server = await asyncio.start_server(handle, "127.0.0.1", port)
        started.put(partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set))
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    end = started.get(timeout=10)
    yield port
    end()
    thread.join(10)
