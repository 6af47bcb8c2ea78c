"""Who may ask: a token of a file, a header of a peer; everybody else gets 401."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from auth_parts import asked

from carrental_mlops.config.serving import Auth
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.auth import BearerDoor, PeerDoor, door_of
from carrental_mlops.serving.refusal import Refusal

TOKEN = "correct-horse-battery-staple"
INFER = "/v2/models/payments/infer"


def tokens(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tokens"
    path.write_text(text)
    return path


def test_a_token_of_the_file_is_answered_and_any_other_gets_401(
    guarded: Any, payment: dict[str, Any], tmp_path: Path
) -> None:
    client = guarded(BearerDoor(tokens(tmp_path, f"# who may ask\ncheckout {TOKEN}\n")))
    assert client.infer(payment, authorization=f"Bearer {TOKEN}")[0] == 200
    for header in ({"authorization": "Bearer wrong-token-of-some-length"}, {"authorization": f"Basic {TOKEN}"}, {}):
        status, headers, body = client.ask("POST", INFER, payment, **header)
        assert status == 401 and headers["www-authenticate"] == "Bearer" and TOKEN.encode() not in body


@pytest.mark.parametrize("path", ["/v2", "/v2/models/payments", "/openapi.json", "/no/such/path"])
def test_every_page_but_health_and_metrics_asks_who_you_are(guarded: Any, tmp_path: Path, path: str) -> None:
    client = guarded(BearerDoor(tokens(tmp_path, TOKEN)))
    assert client.ask("GET", path)[0] == 401
    assert client.ask("GET", path, authorization=f"Bearer {TOKEN}")[0] in (200, 404)
    for public in ("/v2/health/live", "/v2/health/ready", "/v2/models/payments/ready", "/metrics"):
        assert client.ask("GET", public)[0] == 200


def test_the_caller_is_in_the_audit_event(make_app: Callable[..., App], served: Any, payment: Any) -> None:
    kept = []

    class Trail:
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def keep(self, event: Any) -> None:
            kept.append(event.caller)

    app = make_app()
    app.endpoint.trail = Trail()
    client = served(App(app.endpoint, app.metrics, PeerDoor("x-forwarded-user", ["127.0.0.1"])))
    assert client.infer(payment, x_forwarded_user="anna")[0] == 200
    assert kept == ["anna"]


def test_a_changed_file_counts_within_a_second_and_an_unreadable_one_changes_nothing(tmp_path: Path) -> None:
    path = tokens(tmp_path, TOKEN)
    door = BearerDoor(path)
    assert asked(door, f"Bearer {TOKEN}") == "token-1"
    other = tmp_path / "next"
    other.write_text("ci another-token-of-some-length\n")
    other.replace(path)
    time.sleep(1.05)
    assert asked(door, "Bearer another-token-of-some-length") == "ci"
    with pytest.raises(Refusal, match="not known"):
        asked(door, f"Bearer {TOKEN}")
    path.unlink()
    time.sleep(1.05)
    assert asked(door, "bearer another-token-of-some-length") == "ci"


@pytest.mark.parametrize("text", ["short", f"a b {TOKEN}"])
def test_a_file_with_a_bad_line_is_refused_without_telling_the_token(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="line 1") as told:
        BearerDoor(tokens(tmp_path, text))
    assert text not in str(told.value)


def test_two_authorization_headers_are_refused(tmp_path: Path) -> None:
    door = BearerDoor(tokens(tmp_path, TOKEN))
    header = (b"authorization", f"Bearer {TOKEN}".encode())
    with pytest.raises(Refusal, match="one header"):
        asyncio.run(door.caller([header, header], None))


def test_an_identity_header_counts_only_on_a_connection_of_a_peer(guarded: Any, payment: dict[str, Any]) -> None:
    ours = guarded(PeerDoor("x-forwarded-user", ["127.0.0.0/8"]))
    assert ours.infer(payment, x_forwarded_user="anna")[0] == 200
    assert ours.infer(payment)[0] == 401
    theirs = guarded(PeerDoor("x-forwarded-user", ["10.0.0.0/8"]))
    assert theirs.infer(payment, x_forwarded_user="anna")[0] == 401
    spoofed = {"x_forwarded_user": "anna", "x_forwarded_for": "10.0.0.7", "forwarded": "for=10.0.0.7"}
    assert theirs.infer(payment, **spoofed)[0] == 401


@pytest.mark.parametrize(
    ("address", "known"), [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.0.0.1", False), ("", False)]
)
def test_peers_are_networks_in_both_families(address: str, known: bool) -> None:
    door = PeerDoor("x-user", ["10.0.0.0/8", "fd00::/8"])
    client = (address, 1) if address else None
    if known:
        assert asyncio.run(door.caller([(b"x-user", b"anna")], client)) == "anna"
    else:
        with pytest.raises(Refusal, match="only a configured peer"):
            asyncio.run(door.caller([(b"x-user", b"anna")], client))


def test_a_header_that_the_client_sent_beside_the_peers_is_refused() -> None:
    door = PeerDoor("x-user", ["10.0.0.0/8"])
    with pytest.raises(Refusal, match="one header"):
        asyncio.run(door.caller([(b"x-user", b"root"), (b"x-user", b"anna")], ("10.0.0.1", 1)))


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "bearer"},
        {"kind": "bearer", "token_file": "missing"},
        {"kind": "oidc", "issuer": "https://id.example"},
        {"kind": "oidc", "issuer": "file:///etc", "audience": "a"},
        {"kind": "peer"},
        {"kind": "peer", "peers": ("gateway",)},
    ],
)
def test_half_a_setting_does_not_start(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Fix:"):
        door_of(tmp_path, Auth(**settings))


def test_without_a_kind_everybody_may_ask(tmp_path: Path) -> None:
    assert door_of(tmp_path, Auth()) is None


def test_dependency_versions_are_told_to_known_callers_that_ask(guarded: Any, tmp_path: Path) -> None:
    client = guarded(BearerDoor(tokens(tmp_path, TOKEN)))
    allowed = {"authorization": f"Bearer {TOKEN}"}
    assert "dependencies" not in json.loads(client.ask("GET", "/v2", **allowed)[2])
    told = json.loads(client.ask("GET", "/v2?dependencies=true", **allowed)[2])["dependencies"]
    assert told["numpy"] and told["uvicorn"]
    assert client.ask("GET", "/v2?dependencies=true")[0] == 401
    assert guarded(None).ask("GET", "/v2?dependencies=true")[0] == 403
    assert guarded(None, auth={"dependencies": "any"}).ask("GET", "/v2?dependencies=true")[0] == 200


def test_a_known_token_costs_little(tmp_path: Path) -> None:
    door = BearerDoor(tokens(tmp_path, "\n".join(f"n{i} {os.urandom(16).hex()}" for i in range(500)) + f"\nx {TOKEN}"))
    asked(door, f"Bearer {TOKEN}", 1000)
    started = time.process_time()
    asked(door, f"Bearer {TOKEN}", 20_000)
    assert (time.process_time() - started) / 20_000 < 20e-6
