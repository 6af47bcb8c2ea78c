"""A real Jaeger on this machine: takes OTLP over HTTP, answers what it took."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from control_plane import BINARIES, binary
from service_process import free_port

_NAME = "jaeger-all-in-one"
_PORTS = (
    "admin.http.host-port",
    "collector.grpc-server.host-port",
    "collector.http-server.host-port",
    "collector.otlp.grpc.host-port",
    "query.grpc-server.host-port",
)
"""What else it listens on."""


@dataclass(frozen=True)
class Jaeger:
    """One that runs."""

    collector: str
    """Where spans go."""
    query: str

    def spans(self, trace: str, count: int, timeout_s: float = 20) -> list[dict[str, Any]]:
        """The spans of a trace as Jaeger tells them, once there are `count`; `service` is the process's name."""
        deadline, found = time.monotonic() + timeout_s, list[dict[str, Any]]()
        while len(found) < count and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(f"{self.query}/api/traces/{trace}", timeout=5) as answer:
                    (told,) = json.load(answer)["data"]
            except urllib.error.HTTPError as error:
                assert error.code == 404
                continue
            found = [{**one, "service": told["processes"][one["processID"]]} for one in told["spans"]]
        assert len(found) == count, [one["operationName"] for one in found]
        return found


@contextmanager
def jaeger(folder: Path) -> Iterator[Jaeger]:
    """Jaeger until the block ends; skips where its binary is not here."""
    found = binary(_NAME)
    if found is None:
        pytest.skip(f"no {_NAME} in {BINARIES / 'bin'} or on PATH; run `make control-plane`")
    otlp, query = free_port(), free_port()
    flags = [f"--{name}=127.0.0.1:{free_port()}" for name in _PORTS]
    flags += [f"--collector.otlp.http.host-port=127.0.0.1:{otlp}", f"--query.http-server.host-port=127.0.0.1:{query}"]
    with (folder / "jaeger.log").open("wb") as log:
        process = subprocess.Popen([str(found), *flags], stdout=log, stderr=log)
    try:
        running = Jaeger(f"http://127.0.0.1:{otlp}/v1/traces", f"http://127.0.0.1:{query}")
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{running.query}/api/services", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "jaeger.log").read_text()[-2000:]
                assert time.monotonic() < deadline, (folder / "jaeger.log").read_text()[-2000:]
                time.sleep(0.2)
        yield running
    finally:
        process.terminate()
        process.wait(20)
