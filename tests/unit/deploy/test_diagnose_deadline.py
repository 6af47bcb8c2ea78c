"""At three in the morning a page comes in time, whatever does not answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_repo import small_repo

from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.observe.diagnose_inputs import page_of

SECONDS = 1.0


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server whose answer never ends."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not stop.wait(0.1):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    def serve(server: socket.socket) -> None:
        while not stop.is_set():
            try:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()


@pytest.mark.parametrize("server", ["silent", "dripping"])
def test_a_prometheus_that_never_answers_takes_no_longer_than_the_page_may(
    tmp_path: Path, request: pytest.FixtureRequest, server: str
) -> None:
    small_repo(tmp_path)
    began = time.monotonic()
    page = page_of(open_repo(tmp_path, None), None, time.time() - 600, request.getfixturevalue(server), SECONDS)
    assert time.monotonic() - began < 2 * SECONDS
    assert any("does not answer" in what for what in page.unknown)


def test_a_cluster_that_never_answers_does_not_keep_the_rest_from_being_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    small_repo(tmp_path)
    (tmp_path / "config" / "prod.yaml").touch()
    kubeconfig = tmp_path / "kubeconfig"
    address = silent.removeprefix("http://")
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        f"clusters: [{{name: x, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: x, user: {{token: t}}}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    repo = open_repo(tmp_path, "prod")
    began = time.monotonic()
    page = page_of(repo, "prod", time.time() - 600, "http://127.0.0.1:9", SECONDS)
    assert time.monotonic() - began < 2 * SECONDS
    assert any(what.startswith("the cluster does not answer within") for what in page.unknown)
    assert any("Prometheus" in what for what in page.unknown)
