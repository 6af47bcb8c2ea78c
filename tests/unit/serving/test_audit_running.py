"""The audit of a running service: which class a tier gets, and answers that do not wait for the sink."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit_parts import IDENTITY, counted, kept
from audit_repo import make_bundle, make_repo, model_of

from carrental_mlops.config.serving import Audit
from carrental_mlops.serving.app import App
from carrental_mlops.serving.audit import BestEffortTrail, DurableTrail
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.load import open_app
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.ship import Shipper, sink_of


@pytest.mark.parametrize(
    ("tier", "kind", "trail"),
    [
        (1, "null", DurableTrail),
        (2, "null", DurableTrail),
        (3, "null", BestEffortTrail),
        (3, "durable", DurableTrail),
        (1, "best_effort", BestEffortTrail),
        (1, "off", type(None)),
    ],
)
def test_tiers_one_and_two_are_durable_unless_the_repo_says_otherwise(
    tmp_path: Path, tier: int, kind: str, trail: type
) -> None:
    root, bundle = make_repo(tmp_path / "repo", kind=kind), make_bundle(tmp_path / "1", model_of(0))
    assert type(open_app(root, bundle, sets=(f"tier={tier}",)).endpoint.trail) is trail


def test_answers_go_on_while_the_sink_is_down_and_slow_and_all_is_sent_in_the_end(
    tmp_path: Path, make_app: Callable[..., App], served: Callable[[App], Any], payment: dict[str, Any]
) -> None:
    got: list[str] = []
    well = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(0 if well.is_set() else 0.5)
            got.extend(event["id"] for event in batch if well.is_set())
            self.send_response(200 if well.is_set() else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=sink.serve_forever, args=(0.01,), daemon=True).start()
    audit = Audit(sink=f"http://127.0.0.1:{sink.server_port}/")
    app = make_app()
    events = Segments(tmp_path / audit.folder, "events", 2_000, 0.1)
    app.endpoint.trail = DurableTrail(Rendering(IDENTITY), app.metrics.written, events)
    client, stop = served(app), threading.Event()
    sending = threading.Thread(target=Shipper(tmp_path, audit, sink_of(tmp_path, audit)).run, args=(stop,))
    sending.start()
    try:
        assert {client.infer(payment)[0] for _ in range(50)} == {200}
        assert got == []
        well.set()
        deadline = time.monotonic() + 30
        while len(got) < 50 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop.set()
        sending.join()
        sink.shutdown()
        sink.server_close()
    assert got == [event["id"] for event in kept(tmp_path / audit.folder)]
    assert counted(app.metrics, "crm_audit_written") == len(got) == 50
