"""The nodes of a graph as servers: each a process of its own, or a thread; where a text went that they were sent."""

from __future__ import annotations

import http.client
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from background_program import free_port


class Served:
    """A node's server on a port."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port
        self._mine = threading.local()

    @property
    def said(self) -> str:
        """What it has logged."""
        raise NotImplementedError

    def begin_stop(self) -> None:
        """Tell it to end."""
        raise NotImplementedError

    def end(self) -> None:
        """Wait for its end."""
        raise NotImplementedError

    def alive(self) -> bool:
        """Whether it still runs."""
        raise NotImplementedError

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """(status, body), over a connection that each thread keeps."""
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if kept is None:
            kept = self._mine.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            kept.request(method, path, sent, {"content-type": "application/json", **_dashed(headers)})
            reply = kept.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            kept.close()
            self._mine.connection = None
            raise

    def counted(self, metric: str, **labels: str) -> float:
        """Sum of the samples of one metric that have these labels."""
        text = self.ask("GET", "/metrics")[1].decode()
        found = re.findall(rf"^{metric}(?:\{{(.*)\}})? (\S+)$", text, re.M)
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        return sum(float(value) for told, value in found if all(pair in told for pair in wanted))

    def wait_ready(self, timeout_s: float = 240) -> None:
        """Returns once it says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.ask("GET", "/v2/health/ready")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            assert self.alive(), self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)


class NodeProcess(Served):
    """A process of its own; `payments` is the service itself."""

    def __init__(self, root: Path, name: str, port: int, *sets: str, predictor_host: str | None = None) -> None:
        super().__init__(name, port)
        module = "carrental_mlops.serving.server" if name == "payments" else "carrental_mlops.serving.nodes.server"
        named = [] if name == "payments" else ["--name", name]
        named += ["--predictor_host", predictor_host] if predictor_host else []
        pairs = [text for pair in (f"serving.port={port}", *sets) for text in ("--set", pair)]
        where = ["--repo", str(root), "--bundle", str(root / "bundle"), *pairs]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", module, *where, *named]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def begin_stop(self) -> None:
        self.process.terminate()

    def end(self) -> None:
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def alive(self) -> bool:
        return self.process.poll() is None

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._lines.extend(iter(self.process.stderr.readline, ""))


class NodeThread(Served):
    """The same server in a thread: a tenth of a second instead of one; its log is that of all threads."""

    def __init__(self, root: Path, name: str, port: int, *sets: str, predictor_host: str | None = None) -> None:
        from carrental_mlops.serving.load import open_app
        from carrental_mlops.serving.logs import JsonLines
        from carrental_mlops.serving.nodes.opening import open_node
        from carrental_mlops.serving.server import Server, config_of

        super().__init__(name, port)
        given = (f"serving.port={port}", *sets)
        if name == "payments":
            app = open_app(root, root / "bundle", sets=given)
        else:
            app = open_node(root, name, root / "bundle", sets=given, predictor_host=predictor_host)
        self._log = io.StringIO()
        self._handler = logging.StreamHandler(self._log)
        self._handler.setFormatter(JsonLines())
        logging.getLogger("carrental_mlops").addHandler(self._handler)
        self._server = Server(config_of(app), app)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    @property
    def said(self) -> str:
        return self._log.getvalue()

    def begin_stop(self) -> None:
        self._server.should_exit = True

    def end(self) -> None:
        self._thread.join(20)
        logging.getLogger("carrental_mlops").removeHandler(self._handler)

    def alive(self) -> bool:
        return self._thread.is_alive()


@contextmanager
def nodes(
    root: Path, names: Sequence[str], kind: type[NodeProcess | NodeThread], ports: Mapping[str, int] | None = None
) -> Iterator[dict[str, Served]]:
    """The servers of several nodes, ready; `payments:request` is the service that is sent its stored features."""
    running: dict[str, Served] = {}
    try:
        for name in names:
            plain, _, source = name.partition(":")
            sets = (f"serving.features.source={source}",) if source else ()
            running[name] = kind(root, plain, (ports or {}).get(name) or free_port(), *sets)
        for node in running.values():
            node.wait_ready()
        yield running
    finally:
        for node in running.values():
            node.begin_stop()
        for node in running.values():
            node.end()


class Index:
    """The collector at the end of the audit's way: keeps what it is sent."""

    def __init__(self) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        kept = self.kept = bytearray()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.extend(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close."""
        self._server.shutdown()
        self._server.server_close()


def ship(root: Path, port: int, at_least: int = 0, timeout_s: float = 30) -> int:
    """Send the audit's closed files to a detector, as `crm audit ship` does, until so many went; how many did."""
    sent, deadline = _ship(root, port), time.monotonic() + timeout_s
    while sent < at_least and time.monotonic() < deadline:
        time.sleep(0.2)
        sent += _ship(root, port)
    return sent


def _ship(root: Path, port: int) -> int:
    from carrental_mlops.config import load
    from carrental_mlops.config.reader import repo_config
    from carrental_mlops.serving.ship import HttpSink, Shipper

    audit = repo_config(load(root)).serving.audit
    return Shipper(root, audit, HttpSink(f"http://127.0.0.1:{port}/events")).once()


def places_of(text: str, root: Path, running: Mapping[str, Served]) -> list[str]:
    """Where `text` is found: a file of the repo, a log, a metric or a page of a node."""
    found = [str(path) for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    for name, node in running.items():
        found += [f"log of {name}"] * (text in node.said)
        for page in ("/metrics", "/drift", "/outliers", f"/v2/models/{name.partition(':')[0]}"):
            found += [f"{page} of {name}"] * (text.encode() in node.ask("GET", page)[1])
    return found


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
