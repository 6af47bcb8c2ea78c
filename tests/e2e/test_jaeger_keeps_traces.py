"""Jaeger as the platform sets it up keeps its spans in OpenSearch, under the prefix with the platform's retention."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from background_program import free_port
from graph_processes import NodeProcess
from graph_repo import graph_repo, payment
from jaeger_running import jaeger
from search_running import opensearch

pytestmark = pytest.mark.e2e
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def _indices(search: str) -> set[str]:
    with urllib.request.urlopen(f"{search}/_cat/indices?format=json", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return {one["index"] for one in found if not one["index"].startswith(".")}


def test_a_trace_is_answered_after_jaeger_was_started_anew(tmp_path: Path) -> None:
    root = graph_repo(tmp_path / "repo")
    with opensearch(tmp_path / "search") as search:
        with jaeger(tmp_path, search) as running:
            given = ("serving.features.source=request", f"serving.traces.endpoint={running.collector}")
            node = NodeProcess(root, "payments", free_port(), *given)
            try:
                node.wait_ready()
                parent = f"00-{TRACE}-00f067aa0ba902b7-01"
                assert node.ask("POST", "/v2/models/payments/infer", payment(7), traceparent=parent)[0] == 200
            finally:
                node.begin_stop()
                node.end()
            (span,) = running.spans(TRACE, 1, 60)
        with jaeger(tmp_path, search) as anew:
            (kept,) = anew.spans(TRACE, 1, 60)
        assert kept["operationName"] == span["operationName"] == "infer payments"
        day = time.strftime("%Y-%m-%d", time.gmtime(kept["startTime"] / 1e6))
        assert f"traces-internal-jaeger-span-{day}" in _indices(search)
