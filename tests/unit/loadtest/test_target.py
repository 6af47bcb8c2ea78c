"""What may be loaded."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.loadtest.target import target_at, token_of


class Another(BaseHTTPRequestHandler):
    """A server that answers everything, but not as the protocol has it."""

    body = b'{"inputs": "none"}'

    def do_GET(self) -> None:
        wanted = self.headers.get("Authorization") != "Bearer right" and self.path == "/v2/models/guarded"
        self.send_response(401 if wanted else 200)
        self.end_headers()
        self.wfile.write(b'{"inputs": [{"name": "a", "datatype": "FP64"}]}' if "guarded" in self.path else self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def another() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Another) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_server_that_does_not_speak_the_protocol_is_refused(another: str) -> None:
    with pytest.raises(PlatformError, match="something else than a model's metadata"):
        target_at(another, "payments")


def test_a_token_is_sent_and_its_lack_is_said(another: str) -> None:
    with pytest.raises(ConfigError, match="wants a token") as refused:
        target_at(another, "guarded")
    assert "CRM_LOADTEST_TOKEN" in refused.value.fix
    target = target_at(another, "guarded", "right")
    assert [f.name for f in target.fields] == ["a"]
    assert target.on_this_machine
    assert target.cpu_seconds() is None


@pytest.mark.parametrize("url", ["payments", "ftp://pay.example.com", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        target_at(url, "payments")


@pytest.mark.parametrize("token", ["s3cret\nsecond", "s3cret\r", "s3crét", "s3cret and more", "s3cret\x00"])
def test_a_token_that_no_header_may_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError, match="the token holds a character that no header may") as refused:
        target_at("http://127.0.0.1:9", "payments", token)
    assert "s3cr" not in str(refused.value)


def test_the_newline_of_a_file_is_no_part_of_the_token(another: str) -> None:
    environment = os.environ | {"CRM_LOADTEST_TOKEN": "right\n"}
    found = token_of(environment)
    assert found == "right"
    assert target_at(another, "guarded", found).token == "right"
    assert token_of({}) is None and token_of({"CRM_LOADTEST_TOKEN": "\n"}) is None


def test_a_port_that_does_not_speak_http_is_a_platform_error() -> None:
    def greet(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        with pytest.raises(PlatformError, match="no service at"):
            target_at(f"http://127.0.0.1:{listener.getsockname()[1]}", "payments")


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        target_at("http://me:s3cret@pay.example.com", "payments")
    assert "s3cret" not in str(refused.value)
