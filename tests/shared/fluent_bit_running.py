"""A real Fluent Bit with the configuration of helm/platform; an OpenSearch behind TLS and a password."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from background_program import free_port
from control_plane import BINARIES, ControlPlane, binary

USER, PASSWORD = "fluent", "a-made-up-password"


def found() -> Path:
    """Fluent Bit; skips where it is not here."""
    path = binary("fluent-bit")
    if path is None:
        pytest.skip(f"no fluent-bit in {BINARIES / 'bin'} or on PATH: no registry has it; build it from its source")
    return path


@contextmanager
def fluent_bit(
    data: Mapping[str, str], folder: Path, plane: ControlPlane, authority: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Fluent Bit until the block ends.

    Its configuration is the ConfigMap's but for what a pod has and this machine has not: the node's folders lie below
    `folder`, the API server and its authority are named, so is OpenSearch's authority, and what it read is sent sooner.

    Args:
        data: of the ConfigMap.
        folder: holds `containers/`.
        plane: tells it about pods and events.
        authority: certificate of OpenSearch's.
    """
    place = folder / "conf"
    place.mkdir()
    state = folder / "state"
    state.mkdir()
    (folder / "token").write_text(plane.token)
    server = f"Kube_URL {plane.url}\n    Kube_CA_File {plane.folder / 'ca.crt'}\n    Kube_Token_File {folder / 'token'}"
    tag = f"pods.{str(folder / 'containers').strip('/').replace('/', '.')}."
    made = (
        data["fluent-bit.conf"]
        .replace("/var/log/containers", str(folder / "containers"))
        .replace("pods.var.log.containers.", tag)
        .replace("/var/fluent-bit/state", str(state))
        .replace("HTTP_Port     2020", f"HTTP_Port     {free_port()}\n    HTTP_Listen 127.0.0.1")
        .replace("Flush         5", "Flush         1")
        .replace("Name            kubernetes\n", f"Name            kubernetes\n    {server}\n")
        .replace("Name            kubernetes_events\n", f"Name            kubernetes_events\n    {server}\n")
        .replace("Name                opensearch\n", f"Name                opensearch\n    tls.ca_file {authority}\n")
    )
    for name, text in {**data, "fluent-bit.conf": made}.items():
        (place / name).write_text(text)
    with (folder / "fluent-bit.log").open("ab") as log:
        process = subprocess.Popen(
            [found(), f"--config={place / 'fluent-bit.conf'}"],
            stdout=log,
            stderr=log,
            env=os.environ | {"OPENSEARCH_USERNAME": USER, "OPENSEARCH_PASSWORD": PASSWORD},
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def behind_tls(url: str, certificates: Path) -> Iterator[str]:
    """An https URL that passes on to `url` what has the password; `certificates` holds apiserver.crt and .key."""
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("authorization") != wanted:
                self._told(401, b"{}")
                return
            kind = {"content-type": self.headers["content-type"]}
            try:
                with urllib.request.urlopen(urllib.request.Request(url + self.path, body, kind), timeout=30) as answer:
                    self._told(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                self._told(error.code, error.read())

        def _told(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "apiserver.crt", certificates / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
