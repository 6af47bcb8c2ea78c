"""The service as crm.yaml sets it up, in a process: a closed door, traces to a collector, no token in log or audit."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import audit_repo
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TOKEN = "correct-horse-battery-staple"
WRONG = "wrong-horse-battery-staple-too"


def ask(port: int, token: str | None) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    connection.request("POST", "/v2/models/payments/infer", json.dumps(audit_repo.payment_of(1, 20.0)), headers)
    reply = connection.getresponse()
    told = reply.status, json.loads(reply.read())
    connection.close()
    return told


def test_settings_of_crm_yaml_close_the_door_and_send_traces(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spans: list[Any] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            spans.extend(s for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *told: Any) -> None:
            pass

    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, args=(0.02,), daemon=True).start()
    root = audit_repo.make_repo(tmp_path / "repo")
    (root / "tokens").write_text(f"checkout {TOKEN}\n")
    with (root / "config" / "crm.yaml").open("a") as config:
        config.write("  auth: {kind: bearer, token_file: tokens}\n")
        config.write(
            f"  traces: {{ratio: 1.0, endpoint: 'http://127.0.0.1:{collector.server_address[1]}/v1/traces'}}\n"
        )
    bundle = audit_repo.make_bundle(tmp_path / "bundle", audit_repo.model_of(1))
    service = audit_repo.start(root, bundle)
    try:
        assert [ask(service.port, token)[0] for token in (TOKEN, WRONG, None)] == [200, 401, 401]
    finally:
        service.stop()
        collector.shutdown()
        collector.server_close()
    assert sorted(a.value.int_value for s in spans for a in s.attributes if a.key.startswith("http")) == [200, 401, 401]
    kept = b"".join(path.read_bytes() for path in (root / ".crm").rglob("*") if path.is_file())
    told = "".join(capfd.readouterr())
    for secret in (TOKEN, WRONG):
        assert secret not in told and secret.encode() not in kept
