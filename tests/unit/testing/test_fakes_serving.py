"""What a service reads and writes: each test runs against the fake and against the real one."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import prometheus_client
import pytest

from carrental_mlops.config.serving import OnlineFeatures
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.audit import Counter, Drops, DurableTrail, Vault
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.auth import BearerDoor, Door
from carrental_mlops.serving.endpoint import Event, FeatureReader, Identity, Switch, Trail
from carrental_mlops.serving.online import OnlineReader
from carrental_mlops.serving.online_sqlite import SqliteStore
from carrental_mlops.serving.online_view import OnlineView, Store
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.service import Answer
from carrental_mlops.serving.ship import HttpSink, Sink
from carrental_mlops.serving.switch import Order, Switchboard
from carrental_mlops.serving.telemetry import Metrics
from carrental_mlops.serving.vault import FileVault, write_key
from carrental_mlops.testing.fakes import (
    FakeCounter,
    FakeDoor,
    FakeDrops,
    FakeReader,
    FakeSink,
    FakeStore,
    FakeSwitch,
    FakeTrail,
    FakeVault,
    view_of,
)

BOTH = pytest.mark.parametrize("kind", ["fake", "real"])
VIEW = view_of("customer", "customer_id", ("count_7d", "mean_7d"))
TAKEN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
ROWS = {7: [3.0, 40.5], 9: [0.0, -1.0]}


def store_of(kind: str, folder: Path) -> Store:
    if kind == "fake":
        return FakeStore({"customer": {i: (values, TAKEN.timestamp()) for i, values in ROWS.items()}})
    path = folder / "online.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customer (entity_key BLOB, feature_name TEXT, value BLOB, event_ts TEXT)")
        for identity, values in ROWS.items():
            for name, value in zip(VIEW.features, values, strict=True):
                kept = bytes([5 << 3 | 1]) + struct.pack("<d", value)  # feast.types.Value, double_val
                stamp = TAKEN.replace(tzinfo=None).isoformat(" ")
                database.execute("INSERT INTO customer VALUES (?, ?, ?, ?)", (VIEW.key(identity), name, kept, stamp))
    database.close()
    return SqliteStore(path, 1.0)


@BOTH
def test_a_store_gives_the_row_of_each_id_and_none_for_the_unknown(kind: str, tmp_path: Path) -> None:
    async def asked() -> Any:
        store = store_of(kind, tmp_path)
        await store.start()
        try:
            with pytest.raises(Refusal, match="INT64") as refused:
                await store.fetch([(VIEW, [2**70])])
            return await store.fetch([(VIEW, [9, 7, 5]), (VIEW, [])]), refused.value.status
        finally:
            await store.stop()

    found, status = asyncio.run(asked())
    assert found == [[(ROWS[9], TAKEN.timestamp()), (ROWS[7], TAKEN.timestamp()), None], []]
    assert status == 422


@BOTH
def test_a_store_that_does_not_answer_is_a_platform_error_at_the_start(kind: str, tmp_path: Path) -> None:
    store: Store = SqliteStore(tmp_path / "missing" / "online.db", 0.1)
    if kind == "fake":
        store = FakeStore()
        store.down = True
    with pytest.raises(PlatformError):
        asyncio.run(store.start())


@BOTH
def test_a_reader_gives_ages_zeros_for_counts_and_flags(kind: str, tmp_path: Path) -> None:
    store, policy = store_of(kind, tmp_path), OnlineFeatures(budget_ms=5_000)
    reader: FeatureReader
    if isinstance(store, FakeStore):
        reader = FakeReader(store, [VIEW], policy)
    else:
        reader = OnlineReader(store, [VIEW], policy, Metrics("m", "1", "0" * 64))

    async def read() -> Any:
        await reader.start()
        found = await reader.read({"customer_id": [7, 5, None]}, 3)
        await reader.stop()
        return found

    stored = asyncio.run(read())
    np.testing.assert_array_equal(stored.columns["customer__count_7d"], [3.0, 0.0, 0.0])
    np.testing.assert_array_equal(stored.columns["customer__mean_7d"], [40.5, np.nan, np.nan])
    assert stored.flags == ("unknown:customer",)
    assert 3500 < stored.ages["customer"] < 4200


def event_of(n: int) -> Event:
    return Event(f"request-{n}", f"event-{n}", 1.0, {"iban": ["DE02"]}, {}, {},
                 Answer(np.array([0.25]), np.array(["accept"]), ("",)), (), None, None)  # fmt: skip


def told(trail: Trail, folder: Path) -> list[str]:
    if isinstance(trail, FakeTrail):
        return [event.event_id for event in trail.kept]
    lines = [line for path in sorted(folder.glob("events-*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["id"] for line in lines]


@contextmanager
def full(trail: Trail) -> Iterator[None]:
    if isinstance(trail, FakeTrail):
        trail.full = True
        yield
        trail.full = False
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@BOTH
def test_a_trail_has_an_event_when_keep_returns_or_refuses_with_503(kind: str, tmp_path: Path) -> None:
    async def run() -> list[str]:
        trail: Trail = FakeTrail()
        if kind == "real":
            events = Segments(tmp_path, "events", 1 << 20, 60)
            trail = DurableTrail(Rendering(Identity("m", "1", "0" * 64)), FakeCounter(), events)
        await trail.start()
        await trail.keep(event_of(1))
        assert told(trail, tmp_path) == ["event-1"]
        with full(trail), pytest.raises(Refusal) as refused:
            await trail.keep(event_of(2))
        assert refused.value.status == 503
        await trail.keep(event_of(3))
        await trail.stop()
        return told(trail, tmp_path)

    assert asyncio.run(run()) == ["event-1", "event-3"]


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        state: Any = self.server
        if not state.down:
            state.events += json.loads(body)
        self.send_response(503 if state.down else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def sink_of(kind: str) -> Iterator[tuple[Sink, Callable[[bool], None], Callable[[], list[Any]]]]:
    if kind == "fake":
        fake = FakeSink()
        yield fake, lambda down: setattr(fake, "down", down), lambda: [json.loads(line) for line in fake.lines]
        return
    server: Any = HTTPServer(("127.0.0.1", 0), Collector)
    server.down, server.events = False, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        sink = HttpSink(f"http://127.0.0.1:{server.server_port}/events")
        yield sink, lambda down: setattr(server, "down", down), lambda: server.events
    finally:
        server.shutdown()
        server.server_close()


@BOTH
def test_a_sink_has_every_event_in_order_or_says_that_it_has_not(kind: str) -> None:
    with sink_of(kind) as (sink, down, events):
        sink.send([b'{"id":"1"}\n', b'{"id":"2"}\n'])
        down(True)
        with pytest.raises(PlatformError) as refused:
            sink.send([b'{"id":"3"}\n'])
        assert refused.value.retryable
        down(False)
        sink.send([b'{"id":"3"}\n'])
        assert events() == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


@BOTH
def test_a_door_knows_the_bearer_and_refuses_everybody_else(kind: str, tmp_path: Path) -> None:
    token = "t" * 32
    (tmp_path / "tokens").write_text(f"shop {token}\n")
    door: Door = FakeDoor({token: "shop"}) if kind == "fake" else BearerDoor(tmp_path / "tokens")
    asyncio.run(door.start())
    well = (b"authorization", f"Bearer {token}".encode())
    assert asyncio.run(door.caller([well], None)) == "shop"
    for headers in ([], [well, well], [(b"authorization", b"Bearer other")], [(b"authorization", b"Basic x")]):
        with pytest.raises(Refusal) as refused:
            asyncio.run(door.caller(headers, None))
        assert refused.value.status == 401


@BOTH
def test_a_vault_gives_back_what_its_lines_do_not_show(kind: str, tmp_path: Path) -> None:
    vault: FakeVault | FileVault = FakeVault()
    if kind == "real":
        write_key(tmp_path / "key")
        vault = FileVault(tmp_path / "key")
    sealing: Vault = vault
    lines = [sealing.header(), sealing.seal(event_of(1)), sealing.seal(event_of(2))]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert b"DE02" not in b"".join(lines)
    (tmp_path / "inputs-1.jsonl").write_bytes(b"".join(lines))
    opened = list(vault.open(tmp_path / "inputs-1.jsonl", {"event-2"}))
    assert [(one.event_id, one.inputs, one.caller) for one in opened] == [("event-2", {"iban": ["DE02"]}, None)]


@BOTH
def test_a_switch_answers_the_order_s_decision_from_the_start(kind: str, tmp_path: Path) -> None:
    order = Order("constant", datetime.now(UTC) + timedelta(hours=1), "a@example.com", "test", "block")
    (tmp_path / "switch.json").write_text(order.text())
    switch: Switch = FakeSwitch(order)
    if kind == "real":
        switch = Switchboard(tmp_path / "switch.json", Metrics("m", "1", "0" * 64))
    endpoint: Any = SimpleNamespace(switched=None, reader=None, service=None, identity=Identity("m", "1", "0" * 64))

    async def run() -> Any:
        await switch.start(endpoint)
        made = await endpoint.switched.made(endpoint, 2, {}, {})
        await switch.stop()
        return made

    made = asyncio.run(run())
    assert made.answer.decisions.tolist() == ["block", "block"]
    assert made.answer.scores.tolist() == [1.0, 1.0]
    assert (made.answer.reasons, made.flags) == (("switched:constant",) * 2, ("switched:constant",))


@BOTH
def test_a_counter_only_rises(kind: str) -> None:
    registry = prometheus_client.CollectorRegistry()
    real = prometheus_client.Counter("lost", "Lost", registry=registry)
    counter: Counter = FakeCounter() if kind == "fake" else real
    counter.inc()
    counter.inc(2.5)
    with pytest.raises(ValueError, match="non-negative"):
        counter.inc(-1)
    assert (counter.value if isinstance(counter, FakeCounter) else registry.get_sample_value("lost_total")) == 3.5


@BOTH
def test_drops_are_counted_by_cause(kind: str) -> None:
    metrics = Metrics("m", "1", "0" * 64)
    drops: Drops = FakeDrops() if kind == "fake" else metrics.dropped
    drops(2, "disk")
    drops(3, "disk")
    drops(1, "queue")
    if isinstance(drops, FakeDrops):
        assert drops.lost == {"disk": 5, "queue": 1}
        return
    samples = [s for m in metrics.registry.collect() for s in m.samples if s.name == "crm_audit_dropped_total"]
    assert {s.labels["cause"]: s.value for s in samples if s.value} == {"disk": 5, "queue": 1}


def test_a_view_of_names_alone_has_counts_that_are_zero_for_the_unknown() -> None:
    assert isinstance(VIEW, OnlineView)
    assert VIEW.zero == ("count_7d",)
