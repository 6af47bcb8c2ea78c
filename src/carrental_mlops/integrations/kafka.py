"""Apache Kafka: events of the audit as messages, each acknowledged by all replicas in sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError


class KafkaTopic:
    """Where events are sent, in order.

    Args:
        brokers: `host:port`, further ones after commas.
        topic: its name.
        properties: further ones of librdkafka, such as `sasl.password`.
        timeout_s: for a batch.

    Raises:
        ConfigError: the client is not installed, or a property is none.
    """

    def __init__(self, brokers: str, topic: str, properties: Mapping[str, Any], timeout_s: float = 10) -> None:
        try:
            from confluent_kafka import KafkaException, Producer
        except ModuleNotFoundError:
            raise ConfigError("Kafka's client is not installed", "uv pip install 'carrental-mlops[serving]'") from None
        self._brokers, self._topic, self._timeout_s, self._refusal = brokers, topic, timeout_s, KafkaException
        ours = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_s * 1000),
            "log_level": 0,
        }
        try:
            self._producer = Producer({**ours, **properties})
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"Kafka's client refuses its properties: {error}", "mend sink_secret_file") from None

    def send(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Every message is acknowledged when it returns.

        Args:
            messages: key and value of each; the value is a CloudEvent in JSON.

        Raises:
            PlatformError: one is not; retryable.
        """
        failed: list[str] = []

        def told(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(str(error))

        headers: list[tuple[str, str | bytes | None]] = [
            ("content-type", b"application/cloudevents+json; charset=utf-8")
        ]
        try:
            for key, value in messages:
                self._producer.produce(self._topic, value, key.encode(), headers=headers, on_delivery=told)
            waiting = self._producer.flush(self._timeout_s + 1)
        except (BufferError, self._refusal) as error:
            waiting = self._producer.flush(self._timeout_s + 1)
            failed.append(str(error))
        if failed or waiting:
            why = failed[0] if failed else "no answer in time"
            raise PlatformError(f"kafka://{self._brokers}/{self._topic}: {why}", "is the broker up?", True)
