"""The audit reaches a real Kafka over TLS with a user and password; while it is down, events wait on disk."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka_broker import Broker, kafka_broker

from carrental_mlops.config.serving import Audit
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.endpoint import Event, Identity
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.ship import Shipper, sink_of

pytestmark = pytest.mark.e2e
kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


def _event(number: int) -> Event:
    import numpy as np

    from carrental_mlops.serving.service import Answer

    answer = Answer(np.array([0.25]), np.array(["accept"]), ("",))
    return Event(f"r-{number}", f"e-{number}", 1.0, {"amount": [1.0]}, {}, {}, answer, (), None, None)


def _written(root: Path, numbers: range) -> None:
    folder = root / ".crm" / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    segments = Segments(folder, "events", 1 << 20, 60)
    for number in numbers:
        segments.append(Rendering(Identity("payments", "3", "d" * 64))(_event(number)))
    segments.close()


def _audit(root: Path, broker: Broker, properties: dict[str, str]) -> Audit:
    secret = root / "kafka.json"
    secret.write_text(json.dumps(properties))
    secret.chmod(0o600)
    return Audit(sink=f"kafka://{broker.address}/audit-events", sink_secret_file="kafka.json")


def _read(broker: Broker, count: int) -> list[Any]:
    about = {"bootstrap.servers": broker.address, "group.id": "reader", "auto.offset.reset": "earliest"}
    reader = kafka.Consumer({**about, **broker.properties})
    reader.subscribe(["audit-events"])
    found: list[Any] = []
    until = time.monotonic() + 60
    while len(found) < count and time.monotonic() < until:
        message = reader.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
    reader.close()
    return found


def test_events_arrive_once_also_after_the_broker_hung(tmp_path: Path, broker: Broker) -> None:
    audit = _audit(tmp_path, broker, broker.properties)
    _written(tmp_path, range(500))
    assert Shipper(tmp_path, audit, sink_of(tmp_path, audit)).once() == 500
    broker.process.send_signal(signal.SIGSTOP)
    _written(tmp_path, range(500, 700))
    try:
        with pytest.raises(PlatformError):
            Shipper(tmp_path, audit, sink_of(tmp_path, audit)).once()
    finally:
        broker.process.send_signal(signal.SIGCONT)
    Shipper(tmp_path, audit, sink_of(tmp_path, audit)).once()
    keys = {message.key().decode() for message in _read(broker, 700)}
    assert keys == {f"e-{number}" for number in range(700)}


def test_a_wrong_password_is_told_and_nothing_is_lost(tmp_path: Path, broker: Broker) -> None:
    audit = _audit(tmp_path, broker, {**broker.properties, "sasl.password": "wrong"})
    _written(tmp_path, range(5))
    with pytest.raises(PlatformError) as told:
        Shipper(tmp_path, audit, sink_of(tmp_path, audit)).once()
    assert "wrong" not in told.value.what
    assert list((tmp_path / ".crm" / "audit").glob("*.jsonl"))
