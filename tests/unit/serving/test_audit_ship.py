"""The audit is sent to a real HTTP server that is down, slow, fails, and then is well."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_parts import IDENTITY, event_of

from carrental_mlops.config.serving import Audit
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.serving import ship
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.segments import Segments, segments
from carrental_mlops.serving.ship import HttpSink, Shipper, prune, sink_of


class Collector:
    """Keeps what it accepts; answers as the test says."""

    def __init__(self, port: int = 0) -> None:
        self.ids: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.plan: list[int] = []
        """Statuses of the next answers; then 200. A redirect points to itself."""
        self.slow_s = 0.0
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = collector.plan.pop(0) if collector.plan else 200
                time.sleep(collector.slow_s)
                if status == 200:
                    collector.ids += [event["id"] for event in json.loads(body)]
                    collector.headers.append({k.lower(): v for k, v in self.headers.items()})
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/audit?tenant=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.stop()


def _fill(root: Path, files: int, each: int) -> list[str]:
    """Ids of the events now in closed files."""
    folder = root / ".crm" / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    ids, render = [], Rendering(IDENTITY)
    for _ in range(files):
        ours = Segments(folder, "events", 1 << 20, 60)
        for _ in range(each):
            event = event_of()
            ids.append(event.event_id)
            ours.append(render(event))
        ours.close()
    return ids


def _shipper(root: Path, url: str, timeout_s: float = 5) -> Shipper:
    return Shipper(root, Audit(sink=url), HttpSink(url, timeout_s=timeout_s))


def test_closed_files_are_sent_once_in_order_and_kept(tmp_path: Path, collector: Collector) -> None:
    ids = _fill(tmp_path, files=3, each=5)
    assert _shipper(tmp_path, collector.url).once() == 15
    assert collector.ids == ids
    assert {path.suffix for path in segments(tmp_path / ".crm" / "audit", "events")} == {".sent"}
    assert _shipper(tmp_path, collector.url).once() == 0
    assert collector.ids == ids
    assert collector.headers[0]["content-type"].startswith("application/cloudevents-batch+json")


def test_a_file_that_a_worker_appends_to_waits_until_it_is_closed(tmp_path: Path, collector: Collector) -> None:
    _fill(tmp_path, 1, 1)
    ours = Segments(tmp_path / ".crm" / "audit", "events", 1 << 20, 60)
    ours.append(Rendering(IDENTITY)(event_of()))
    assert _shipper(tmp_path, collector.url).once() == 1
    ours.close()
    assert _shipper(tmp_path, collector.url).once() == 1


def test_a_failure_within_a_file_goes_on_after_the_last_batch_that_was_taken(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "_EVENTS", 10)
    ids = _fill(tmp_path, files=1, each=35)
    collector.plan = [200, 200, 500]
    with pytest.raises(PlatformError, match="answered 500") as told:
        _shipper(tmp_path, collector.url).once()
    assert told.value.retryable
    assert collector.ids == ids[:20]
    assert _shipper(tmp_path, collector.url).once() == 15
    assert collector.ids == ids


@pytest.mark.parametrize("status", [302, 401, 503])
def test_what_is_not_2xx_keeps_the_events(tmp_path: Path, collector: Collector, status: int) -> None:
    ids = _fill(tmp_path, 1, 3)
    collector.plan = [status]
    with pytest.raises(PlatformError, match=f"answered {status}"):
        _shipper(tmp_path, collector.url).once()
    assert collector.ids == []
    _shipper(tmp_path, collector.url).once()
    assert collector.ids == ids


def test_a_sink_slower_than_the_limit_is_given_up_and_asked_again(tmp_path: Path, collector: Collector) -> None:
    ids = _fill(tmp_path, 1, 3)
    collector.slow_s = 1.0
    with pytest.raises(PlatformError, match="timed out"):
        _shipper(tmp_path, collector.url, timeout_s=0.2).once()
    collector.slow_s = 0.0
    _shipper(tmp_path, collector.url).once()
    time.sleep(1)
    assert set(collector.ids) == set(ids), "at least once: the slow answer may have kept them too"


def test_a_sink_that_comes_up_later_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "_IDLE_S", 0.02)
    monkeypatch.setattr(ship, "_SLOWEST_S", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ids = _fill(tmp_path, 2, 3)
    stop = threading.Event()
    shipper = _shipper(tmp_path, f"http://127.0.0.1:{port}/")
    sending = threading.Thread(target=shipper.run, args=(stop,))
    sending.start()
    time.sleep(0.3)
    late = Collector(port)
    late.plan = [500, 500]
    try:
        deadline = time.monotonic() + 20
        while len(late.ids) < len(ids) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        stop.set()
        sending.join()
        late.stop()
    assert late.ids == ids


@pytest.mark.parametrize("secret", ["s3cret\nsecond", "s3crét", "s3cret\x00more"])
def test_a_secret_that_no_header_may_hold_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    (tmp_path / "token").write_text(secret)
    with pytest.raises(ConfigError, match="the token holds a character that no header may") as told:
        sink_of(tmp_path, Audit(sink="http://127.0.0.1:9/", sink_secret_file="token"))
    assert "s3cr" not in str(told.value)


def test_a_secret_that_is_no_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cr\xe9t")
    with pytest.raises(ConfigError, match="not UTF-8") as told:
        sink_of(tmp_path, Audit(sink="http://127.0.0.1:9/", sink_secret_file="token"))
    assert "s3cr" not in str(told.value)


def test_old_inputs_go_while_the_sink_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "_IDLE_S", 0.02)
    _fill(tmp_path, 1, 3)
    inputs = tmp_path / ".crm" / "audit-inputs"
    inputs.mkdir()
    old = time.time_ns() - 40 * 86_400 * 10**9
    sealed, of_a_killed_worker = inputs / f"inputs-{old}-0.jsonl", inputs / f"inputs-{old}-1.open"
    sealed.write_bytes(b"{}\n")
    of_a_killed_worker.write_bytes(b"{}\n")
    stop = threading.Event()
    sending = threading.Thread(target=_shipper(tmp_path, "http://127.0.0.1:9/").run, args=(stop,))
    sending.start()
    try:
        deadline = time.monotonic() + 10
        while any(inputs.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        stop.set()
        sending.join()
    assert list(inputs.iterdir()) == []
    assert len(list((tmp_path / ".crm" / "audit").glob("*.jsonl"))) == 1


def test_a_disk_that_cannot_be_pruned_does_not_hold_up_the_events(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ship, "prune", fail)
    ids = _fill(tmp_path, 1, 3)
    stop = threading.Event()
    sending = threading.Thread(target=_shipper(tmp_path, collector.url).run, args=(stop,))
    sending.start()
    deadline = time.monotonic() + 10
    while len(collector.ids) < len(ids) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    sending.join()
    assert collector.ids == ids
    assert "Read-only file system" in caplog.text


def test_a_token_is_sent_and_never_shown(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    audit = Audit(sink=collector.url, sink_secret_file="token")
    sink = sink_of(tmp_path, audit)
    sink.send([b'{"id":"a"}\n'])
    assert collector.headers[0]["authorization"] == "Bearer s3cret"
    collector.plan = [403]
    with pytest.raises(PlatformError) as told:
        sink.send([b'{"id":"a"}\n'])
    assert "s3cret" not in str(told.value)
    assert "tenant" not in str(told.value)


@pytest.mark.parametrize(
    "sink", ["ftp://a/b", "http://user:pw@host/", "kafka://broker:9092", "kafka://broker:9092/a/b"]
)
def test_a_sink_that_is_no_address_or_holds_a_password_is_refused(sink: str) -> None:
    with pytest.raises(ValueError, match="sink"):
        Audit(sink=sink)


def test_no_sink_and_an_unreadable_secret_name_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serving\.audit\.sink"):
        sink_of(tmp_path, Audit())
    with pytest.raises(ConfigError, match="sink_secret_file"):
        sink_of(tmp_path, Audit(sink="http://host/", sink_secret_file="missing"))


def test_two_processes_do_not_send_at_once(tmp_path: Path, collector: Collector) -> None:
    _fill(tmp_path, 1, 3)
    collector.slow_s = 3.0
    first = threading.Thread(target=_shipper(tmp_path, collector.url).once)
    first.start()
    time.sleep(0.2)
    with pytest.raises(PlatformError, match="held by another process"):
        _shipper(tmp_path, collector.url).once()
    first.join()
    assert len(collector.ids) == 3


def test_prune_removes_what_the_sink_has_and_old_inputs(tmp_path: Path) -> None:
    audit, inputs = tmp_path / ".crm" / "audit", tmp_path / ".crm" / "audit-inputs"
    audit.mkdir(parents=True)
    inputs.mkdir()
    old = time.time_ns() - 40 * 86_400 * 10**9
    sent, unsent = audit / f"events-{old}-0.sent", audit / f"events-{old}-1.jsonl"
    sealed, fresh = inputs / f"inputs-{old}-0.jsonl", inputs / f"inputs-{time.time_ns()}-0.jsonl"
    for path in (sent, unsent, sealed, fresh):
        path.write_bytes(b"{}\n")
    settings = Audit(sink="http://host/")
    assert prune(tmp_path, settings, dry_run=True) == [sent, sealed]
    assert sent.exists()
    assert prune(tmp_path, settings) == [sent, sealed]
    assert [path.exists() for path in (sent, unsent, sealed, fresh)] == [False, True, False, True]
    assert prune(tmp_path, Audit()) == [unsent]
