"""A real Jaeger on this machine under the platform's own configuration: takes OTLP over HTTP, answers what it took."""

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
import yaml
from background_program import free_port
from control_plane import BINARIES, binary

_NAME = "jaeger"
_CONFIG = Path(__file__).parents[2] / "helm" / "platform" / "upstream" / "jaeger.yaml"


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
def jaeger(folder: Path, search: str | None = None) -> Iterator[Jaeger]:
    """Jaeger until the block ends; skips where its binary is not here.

    Args:
        folder: for its configuration and log.
        search: URL of the OpenSearch that keeps the spans; None for memory.
    """
    found = binary(_NAME)
    if found is None:
        pytest.skip(f"no {_NAME} in {BINARIES / 'bin'} or on PATH; run `make control-plane`")
    otlp, query = free_port(), free_port()
    config = folder / "jaeger.yaml"
    config.write_text(yaml.safe_dump(_config(otlp, query, search)))
    with (folder / "jaeger.log").open("ab") as log:
        process = subprocess.Popen([str(found), "--config", str(config)], stdout=log, stderr=log)
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


def _config(otlp: int, query: int, search: str | None) -> dict[str, Any]:
    """The platform's, on free ports of this machine; only where the spans are kept is another."""
    config: dict[str, Any] = yaml.safe_load(_CONFIG.read_text())["userconfig"]
    here = {name: f"127.0.0.1:{free_port()}" for name in ("health", "query", "otlp")}
    extensions, protocols = config["extensions"], config["receivers"]["otlp"]["protocols"]
    extensions["healthcheckv2"]["http"]["endpoint"] = here["health"]
    extensions["jaeger_query"]["grpc"]["endpoint"] = here["query"]
    extensions["jaeger_query"]["http"]["endpoint"] = f"127.0.0.1:{query}"
    protocols["grpc"]["endpoint"] = here["otlp"]
    protocols["http"]["endpoint"] = f"127.0.0.1:{otlp}"
    (metrics,) = config["service"]["telemetry"]["metrics"]["readers"]
    metrics["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": free_port()}
    backends = extensions["jaeger_storage"]["backends"]
    if search is None:
        backends["opensearch"] = {"memory": {"max_traces": 10_000}}
    else:
        backends["opensearch"]["opensearch"] |= {"server_urls": [search], "auth": {}}
    return config
