"""Who may ask: a JWT of an issuer that answers; a forged, old or foreign one gets 401."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from auth_parts import asked
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from carrental_mlops.serving import oidc
from carrental_mlops.serving.refusal import Refusal

AUDIENCE = "payments"
INFER = "/v2/models/payments/infer"


class Issuer:
    """A real HTTP server with a discovery document and keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.asked = 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = issuer.url
                documents = {
                    "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
                    "/keys": {"keys": [issuer.public(kid) for kid in issuer.keys]},
                }
                issuer.asked += self.path == "/keys"
                body = json.dumps(documents[self.path]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *told: Any) -> None:
                pass

        self._handler, self.port = Handler, 0
        self.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, kid: str, kind: str = "RSA") -> None:
        self.keys[kid] = (
            rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
        )

    def public(self, kid: str) -> dict[str, Any]:
        key = self.keys[kid]
        algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

    def token(self, kid: str, **claims: Any) -> str:
        told = {"iss": self.url, "aud": AUDIENCE, "sub": "checkout", "exp": int(time.time()) + 600, **claims}
        algorithm = "RS256" if isinstance(self.keys[kid], rsa.RSAPrivateKey) else "ES256"
        present = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(present, self.keys[kid], algorithm, {"kid": kid})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    found.add("one")
    yield found
    found.stop()


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_jwt_of_the_issuer_is_answered(guarded: Any, payment: dict[str, Any], issuer: Issuer, kind: str) -> None:
    issuer.add("two", kind)
    client = guarded(oidc.OidcDoor(issuer.url, AUDIENCE))
    for _ in range(3):
        assert client.infer(payment, authorization=f"Bearer {issuer.token('two')}")[0] == 200
    assert issuer.asked == 1


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", {"kid": "one"})


def hs256_with_the_public_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    public = issuer.keys["one"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, claims)
    )
    signature = base64.urlsafe_b64encode(hmac.new(pem, head + b"." + body, hashlib.sha256).digest()).rstrip(b"=")
    return (head + b"." + body + b"." + signature).decode()


def test_a_token_that_is_forged_expired_or_not_for_us_gets_401(
    guarded: Any, payment: dict[str, Any], issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = guarded(oidc.OidcDoor(issuer.url, AUDIENCE))
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "checkout", "exp": int(time.time()) + 600}
    stranger = Issuer()
    stranger.add("one")
    good = issuer.token("one")
    refused = {
        "none": unsigned(claims),
        "hs256": hs256_with_the_public_key(issuer, claims),
        "expired": issuer.token("one", exp=int(time.time()) - 100),
        "not yet": issuer.token("one", nbf=int(time.time()) + 300),
        "audience": issuer.token("one", aud="others"),
        "issuer": issuer.token("one", iss="http://elsewhere"),
        "no exp": issuer.token("one", exp=None),
        "no sub": issuer.token("one", sub=None),
        "another's key": jwt.encode(claims, stranger.keys["one"], "RS256", {"kid": "one"}),
        "cut": good[:-6],
        "text": "not-a-jwt",
        "ES256 with an RSA key's id": jwt.encode(
            claims, ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "one"}
        ),
    }
    stranger.stop()
    told = {name: client.ask("POST", INFER, payment, authorization=f"Bearer {t}") for name, t in refused.items()}
    assert {name: status for name, (status, _, _) in told.items()} == dict.fromkeys(refused, 401)
    assert b"has expired" in told["expired"][2] and b"another audience" in told["audience"][2]
    assert client.infer(payment, authorization=f"Bearer {good}")[0] == 200
    for token in (good, *refused.values()):
        assert token not in caplog.text and token[-20:] not in caplog.text


@pytest.mark.parametrize("algorithm", [[], {}, None, 1, "none"])
def test_a_header_with_another_algorithm_than_a_name_gets_401(issuer: Issuer, algorithm: Any) -> None:
    head, rest = json.dumps({"alg": algorithm, "kid": "one"}).encode(), issuer.token("one").partition(".")[2]
    token = base64.urlsafe_b64encode(head).rstrip(b"=").decode() + "." + rest
    with pytest.raises(Refusal) as refused:
        asked(oidc.OidcDoor(issuer.url, AUDIENCE), f"Bearer {token}")
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000], ids=["no HTTP", "deep"]
)
def test_an_issuer_that_answers_garbage_is_503_and_asked_again(issuer: Issuer, answer: bytes) -> None:
    def garbage(port: int) -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    async def story() -> None:
        door = oidc.OidcDoor(issuer.url, AUDIENCE)
        header = [(b"authorization", f"Bearer {issuer.token('one')}".encode())]
        issuer.stop()
        other = threading.Thread(target=garbage, args=(issuer.port,))
        other.start()
        await asyncio.sleep(0.1)
        await door.start()
        other.join()
        with pytest.raises(Refusal) as refused:
            await door.caller(header, None)
        assert refused.value.status == 503
        issuer.start()
        door._next_fetch = 0.0  # five seconds later
        assert await door.caller(header, None) == "checkout"

    asyncio.run(story())


def test_a_rotated_key_is_found_but_unknown_ids_do_not_ask_again_within_a_minute(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = oidc.OidcDoor(issuer.url, AUDIENCE, f"{issuer.url}/keys")

    async def ask(token: str) -> str:
        return await door.caller([(b"authorization", f"Bearer {token}".encode())], None)

    async def story() -> None:
        await door.start()
        assert await ask(issuer.token("one")) == "checkout"
        old = issuer.token("one")
        del issuer.keys["one"]
        issuer.add("two")
        for _ in range(20):
            with pytest.raises(Refusal, match="key is not known"):
                await ask(issuer.token("two"))
        assert issuer.asked == 1
        door._next_fetch = 0.0  # a minute later
        assert await asyncio.gather(*(ask(issuer.token("two", jti=str(i))) for i in range(10))) == ["checkout"] * 10
        assert issuer.asked == 2
        with pytest.raises(Refusal, match="key is not known"):
            await ask(old)

    asyncio.run(story())


def test_keys_stay_good_while_the_issuer_is_down_and_are_fetched_once_it_is_up(issuer: Issuer) -> None:
    async def story() -> None:
        door = oidc.OidcDoor(issuer.url, AUDIENCE)

        async def ask(jti: str) -> str:
            token = issuer.token("one", jti=jti)
            return await door.caller([(b"authorization", f"Bearer {token}".encode())], None)

        issuer.stop()
        await door.start()
        with pytest.raises(Refusal, match="keys cannot be read") as refused:
            await ask("1")
        assert refused.value.status == 503
        issuer.start()
        door._next_fetch = 0.0  # five seconds later
        assert await ask("2") == "checkout"
        issuer.stop()
        door._next_fetch = door._stale_at = 0.0  # an hour later
        assert await ask("3") == "checkout"
        await asyncio.sleep(0.2)
        assert await ask("4") == "checkout"
        issuer.start()

    asyncio.run(story())
