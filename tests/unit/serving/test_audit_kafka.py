"""The audit over Kafka's protocol, to the mock broker of librdkafka: a real socket, not a real Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_parts import IDENTITY, event_of

from carrental_mlops.config.serving import Audit
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.integrations.kafka import KafkaTopic
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.ship import Shipper, sink_of

kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture
def brokers() -> Iterator[str]:
    host = kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    host.flush(1)


def test_every_event_arrives_once_with_its_id_as_key(tmp_path: Path, brokers: str) -> None:
    folder = tmp_path / ".crm" / "audit"
    folder.mkdir(parents=True)
    ours, events = Segments(folder, "events", 1 << 20, 60), [event_of() for _ in range(20)]
    for event in events:
        ours.append(Rendering(IDENTITY)(event))
    ours.close()
    audit = Audit(sink=f"kafka://{brokers}/audit")
    assert Shipper(tmp_path, audit, sink_of(tmp_path, audit)).once() == 20

    reader = kafka.Consumer(
        {"bootstrap.servers": brokers, "group.id": "t", "auto.offset.reset": "earliest", "log_level": 0}
    )
    reader.subscribe(["audit"])
    found, deadline = [], time.monotonic() + 30
    while len(found) < 20 and time.monotonic() < deadline:
        message = reader.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
    reader.close()
    assert {message.key().decode() for message in found} == {event.event_id for event in events}
    assert len(found) == 20
    assert json.loads(found[0].value())["specversion"] == "1.0"
    assert dict(found[0].headers())["content-type"].startswith(b"application/cloudevents+json")


def test_a_broker_that_is_down_keeps_the_events() -> None:
    with pytest.raises(PlatformError, match="kafka://127") as told:
        KafkaTopic("127.0.0.1:1", "audit", {}, timeout_s=1).send([("a", b"{}")])
    assert told.value.retryable


def test_a_property_that_the_client_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="properties"):
        KafkaTopic("127.0.0.1:1", "audit", {"no.such": "thing"})


def test_a_secret_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("user:password")
    with pytest.raises(ConfigError, match="no JSON object") as told:
        sink_of(tmp_path, Audit(sink="kafka://broker:9092/audit", sink_secret_file="secret"))
    assert "password" not in told.value.what
