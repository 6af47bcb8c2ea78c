"""Sends the closed files of the audit to where it is kept, in a process of its own, so that no answer waits for it.

At least once: what was sent just before a crash is sent again, under the same event ids.
"""

from __future__ import annotations

import http.client
import json
import logging
import random
import signal
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import orjson

from carrental_mlops.config.serving import Audit
from carrental_mlops.config.variables import fits_a_header
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.files import locked
from carrental_mlops.serving.segments import begun, expired, recover

log = logging.getLogger("carrental_mlops.serving.ship")

_EVENTS, _BYTES = 500, 512 << 10
"""At most, of one batch; a single event may be larger."""
_IDLE_S, _SLOWEST_S, _PRUNE_S = 1.0, 60.0, 3600.0
_CURSOR = "cursor.json"


class Sink(Protocol):
    """Takes events."""

    def send(self, lines: Sequence[bytes]) -> None:
        """The sink has every event when it returns.

        Args:
            lines: one CloudEvent each, in JSON.

        Raises:
            PlatformError: it has not.
        """
        ...


class HttpSink:
    """A batch of CloudEvents a POST; 2xx says that they are kept.

    Args:
        url: of the collector.
        token: sent as bearer; None sends none.
        timeout_s: for each read and write of the socket.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 10) -> None:
        self._shown, self._at, self._timeout_s = url.partition("?")[0], urlsplit(url), timeout_s
        self._headers = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._tls = ssl.create_default_context() if self._at.scheme == "https" else None

    def send(self, lines: Sequence[bytes]) -> None:
        """One request.

        Raises:
            PlatformError: no answer, or another than 2xx; a redirect is not followed.
        """
        body = b"[" + b",".join(line.rstrip(b"\n") for line in lines) + b"]"
        try:
            status, _ = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            raise PlatformError(f"{self._shown}: {error or type(error).__name__}", "is the sink up?", True) from None
        if not 200 <= status < 300:
            raise PlatformError(f"{self._shown} answered {status}", "see the log of the sink", True)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        host, port = self._at.hostname or "", self._at.port
        if self._tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout_s, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        try:
            path = (self._at.path or "/") + (f"?{self._at.query}" if self._at.query else "")
            connection.request("POST", path, body, self._headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class KafkaSink:
    """A message an event, its id the key.

    Args:
        url: `kafka://broker:port/topic`.
        properties: further ones of the client.
    """

    def __init__(self, url: str, properties: dict[str, str]) -> None:
        from carrental_mlops.integrations.kafka import KafkaTopic

        brokers, _, topic = url.removeprefix("kafka://").partition("/")
        self._topic = KafkaTopic(brokers, topic, properties)

    def send(self, lines: Sequence[bytes]) -> None:
        """Acknowledged by all replicas in sync."""
        self._topic.send([(orjson.loads(line)["id"], line.rstrip(b"\n")) for line in lines])


def sink_of(root: Path, audit: Audit) -> Sink:
    """The sink that the settings name.

    Args:
        root: of the model repo; `sink_secret_file` is relative to it.
        audit: the settings.

    Raises:
        ConfigError: they name none, or the secret cannot be read or sent.
    """
    if audit.sink is None:
        raise ConfigError("serving.audit.sink is not set: there is nowhere to send to", "set it in config/crm.yaml")
    secret = ""
    if audit.sink_secret_file:
        path = root / audit.sink_secret_file
        try:
            secret = path.read_text().strip()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}", "mend serving.audit.sink_secret_file") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not UTF-8", "mend serving.audit.sink_secret_file") from None
    if not audit.sink.startswith("kafka://"):
        if not fits_a_header(secret):
            what = f"{audit.sink_secret_file}: the token holds a character that no header may"
            raise ConfigError(what, "write one line of ASCII to it")
        if audit.sink.endswith("/_bulk"):
            from carrental_mlops.serving.sink_bulk import BulkSink

            return BulkSink(audit.sink, secret or None)
        return HttpSink(audit.sink, secret or None)
    try:
        return KafkaSink(audit.sink, json.loads(secret or "{}"))
    except ValueError:
        what = f"{audit.sink_secret_file} is no JSON object"
        raise ConfigError(what, 'write such as {"security.protocol": "SASL_SSL"}') from None


class Shipper:
    """Sends what lies in one folder, and removes what was kept long enough.

    Args:
        root: of the model repo.
        audit: the settings.
        sink: takes the events.
    """

    def __init__(self, root: Path, audit: Audit, sink: Sink) -> None:
        self._root, self._audit, self._sink = root, audit, sink
        self._folder = root / audit.folder

    def once(self) -> int:
        """Send every closed file, oldest first, and put the sealed inputs away.

        Returns:
            How many events were sent.

        Raises:
            PlatformError: the sink does not take them, or another process is sending; retryable.
        """
        if not self._folder.is_dir():
            return 0
        with locked(self._folder / "ship.lock", timeout_s=2):
            recover(self._folder)
            sent = sum(self._ship(path) for path in sorted(self._folder.glob("events-*.jsonl"), key=begun))
            if self._audit.input_sink is not None:
                from carrental_mlops.serving.sealed_store import put_away

                put_away(self._root, self._audit)
            return sent

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; where the sink does not take them, wait longer each time, up to a minute."""
        failures, pruned = 0, float("-inf")
        while not stop.is_set():
            if time.monotonic() - pruned > _PRUNE_S:
                self._prune()
                pruned = time.monotonic()
            try:
                self.once()
                failures = 0
            except (PlatformError, OSError) as error:
                failures += 1
                log.error("audit events wait in %s: %s", self._folder, getattr(error, "what", error))
            stop.wait(_pause(failures))

    def _prune(self) -> None:
        try:
            recover(self._root / self._audit.input_folder)
            prune(self._root, self._audit)
        except OSError as error:
            log.error("what was kept long enough cannot be removed: %s", error)

    def _ship(self, path: Path) -> int:
        sent = 0
        for lines, offset in _batches(path, self._begin(path)):
            self._sink.send(lines)
            self._remember(path, offset)
            sent += len(lines)
        path.rename(path.with_suffix(".sent"))
        (self._folder / _CURSOR).unlink(missing_ok=True)
        return sent

    def _begin(self, path: Path) -> int:
        """Where the last batch that the sink has ended (bytes)."""
        try:
            cursor = json.loads((self._folder / _CURSOR).read_text())
            return int(cursor["offset"]) if cursor["file"] == path.name else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _remember(self, path: Path, offset: int) -> None:
        draft = self._folder / f".{_CURSOR}"
        draft.write_text(json.dumps({"file": path.name, "offset": offset}))
        draft.replace(self._folder / _CURSOR)


def until_stopped(shipper: Shipper) -> None:
    """Send until SIGTERM or SIGINT; a batch under way is ended first."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    shipper.run(stop)


def prune(root: Path, audit: Audit, dry_run: bool = False) -> list[Path]:
    """Remove what was kept long enough: events that the sink has (all where there is none), and sealed inputs.

    Args:
        root: of the model repo.
        audit: the settings.
        dry_run: remove nothing.

    Returns:
        What was, or would be, removed.
    """
    gone = expired(root / audit.folder, "events", audit.keep_days, unsent_too=audit.sink is None)
    gone += expired(root / audit.input_folder, "inputs", audit.input_keep_days, unsent_too=audit.input_sink is None)
    if not dry_run:
        for path in gone:
            path.unlink(missing_ok=True)
    return gone


def _pause(failures: int) -> float:
    if not failures:
        return _IDLE_S
    return min(_SLOWEST_S, _IDLE_S * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1)  # noqa: S311  spreads retries


def _batches(path: Path, start: int) -> Iterator[tuple[list[bytes], int]]:
    """Lines, and where they end in the file (bytes)."""
    batch: list[bytes] = []
    size, offset = 0, start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):  # half-written on a disk that then failed altogether
                break
            if batch and (len(batch) == _EVENTS or size + len(line) > _BYTES):
                yield batch, offset
                batch, size = [], 0
            batch.append(line)
            size, offset = size + len(line), offset + len(line)
    if batch:
        yield batch, offset
