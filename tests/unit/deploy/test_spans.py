"""`crm trace`: the audit by trace, request or event, and spans in the two forms that Jaeger and Tempo answer in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from small_repo import crm, small_repo

from carrental_mlops.deploy.observe.spans import spans_of
from carrental_mlops.errors import ConfigError, PlatformError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
JAEGER: dict[str, Any] = {
    "data": [
        {
            "traceID": TRACE,
            "processes": {"p1": {"serviceName": "payments"}},
            "spans": [
                {
                    "operationName": "infer",
                    "processID": "p1",
                    "startTime": 1_770_000_000_000_100,
                    "duration": 2_500,
                    "tags": [{"key": "model.version", "type": "string", "value": "3"}],
                },
                {"operationName": "gateway", "processID": "p1", "startTime": 1_770_000_000_000_000, "duration": 3_000},
            ],
        }
    ]
}
SPAN = {
    "name": "infer",
    "startTimeUnixNano": "1770000000000100000",
    "endTimeUnixNano": "1770000000002600000",
    "attributes": [{"key": "model.version", "value": {"stringValue": "3"}}],
}
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "payments"}}]}
TEMPO = {"batches": [{"resource": RESOURCE, "scopeSpans": [{"spans": [SPAN]}]}]}
TEMPO_2 = {"trace": {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [SPAN]}]}]}}


@pytest.fixture
def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server that answers with the document under `told`."""
    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told["document"]).encode()
            self.send_response(200 if self.path == f"/api/traces/{TRACE}" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", told
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("document", [JAEGER, TEMPO, TEMPO_2], ids=["jaeger", "tempo", "tempo 2"])
def test_spans_of_either_form_are_read(answers: tuple[str, dict[str, Any]], document: dict[str, Any]) -> None:
    url, told = answers
    told["document"] = document
    last = spans_of(url, TRACE)[-1]
    assert (last.service, last.name, last.ms, last.attributes) == ("payments", "infer", 2.5, {"model.version": "3"})
    assert last.start == pytest.approx(1_770_000_000.0001)
    assert spans_of(url, "0" * 32) == []


def test_what_is_no_trace_is_said(answers: tuple[str, dict[str, Any]]) -> None:
    url, told = answers
    told["document"] = {"something": "else"}
    with pytest.raises(ConfigError, match="no trace of Jaeger or Tempo"):
        spans_of(url, TRACE)
    with pytest.raises(PlatformError, match="does not answer"):
        spans_of("http://127.0.0.1:9", TRACE)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_repo(tmp_path)
    data = {
        "request": "r-1", "model": {"name": "payments", "version": "3"}, "decision": ["block"], "score": [0.9],
        "reason": ["score"], "flags": ["stale:history"], "ages": {"history": 7200.0},
    }  # fmt: skip
    event = {
        "id": "e-1",
        "time": "2026-03-01T10:00:00Z",
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "data": data,
    }
    folder = tmp_path / ".crm" / "audit"
    folder.mkdir(parents=True)
    (folder / "events-1772359200000000000-1-0.jsonl").write_bytes(orjson.dumps(event) + b"\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [TRACE, "r-1", "e-1"])
def test_a_request_is_found_by_trace_request_or_event(
    repo: Path, answers: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    url, told = answers
    told["document"] = JAEGER
    assert crm("trace", name, "--traces", url) == 0
    said = capsys.readouterr().out
    for part in ("request r-1, model payments 3", "block, score 0.9000, score", "stale:history", "history 2.0 h"):
        assert part in said
    assert "gateway" in said
    assert "model.version=3" in said


def test_what_nobody_knows_is_an_error_with_the_next_step(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm("trace", "r-2") == 1
    assert "serving.traces.query" in capsys.readouterr().err
