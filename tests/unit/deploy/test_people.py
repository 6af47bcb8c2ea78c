"""Who approves is whom the CI's signed token names, and in tier 1 never only who trained."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from carrental_mlops.deploy.releases.approval import Person, hold_separation, person_of
from carrental_mlops.errors import GateRefused, PlatformError

KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """An issuer on this machine, with its discovery document and its key."""
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            keys = {"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}
            told = keys if self.path == "/keys" else {"jwks_uri": f"{at}/keys"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _token(issuer: str, key: Any = KEY, **claims: Any) -> str:
    now = int(time.time())
    told = {"iss": issuer, "aud": "crm", "sub": "project_path:ds/fraud", "iat": now, "exp": now + 300, "job_id": "77",
            "user_email": "Ada@example.com", **claims}  # fmt: skip
    return jwt.encode({k: v for k, v in told.items() if v is not None}, key, "ES256", headers={"kid": "one"})


def test_the_person_is_whom_the_signed_token_names(issuer: str) -> None:
    person = person_of(_token(issuer), issuer)
    assert person == Person(name="ada@example.com", subject="project_path:ds/fraud", issuer=issuer, job="77")
    assert person_of(_token(issuer, user_email=None, actor="ada"), issuer).name == "ada"


@pytest.mark.parametrize(
    "wrong",
    [{"key": OTHER}, {"aud": "sts.amazonaws.com"}, {"iss": "https://elsewhere"}, {"exp": 1}, {"user_email": None}],
)
def test_another_s_expired_or_nameless_token_is_refused(issuer: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(GateRefused):
        person_of(_token(issuer, **wrong), issuer)


def test_what_is_no_token_is_refused_and_not_shown(issuer: str) -> None:
    with pytest.raises(GateRefused) as refused:
        person_of("hunter2", issuer)
    assert "hunter2" not in str(refused.value)


def test_an_issuer_that_is_down_is_the_platform_s_fault() -> None:
    with pytest.raises(PlatformError) as down:
        person_of(_token("x"), "http://127.0.0.1:1")
    assert down.value.retryable


def _person(name: str) -> Person:
    return Person(name=name, subject="s", issuer="i")


@pytest.mark.parametrize(
    ("tier", "trained_by", "approvers"),
    [(1, "ada", []), (3, "ada", []), (1, "Ada", ["ada"]), (1, "ada", ["ada", "ada"]), (1, None, ["ben"])],
)
def test_a_promotion_that_only_the_trainer_approved_is_refused(
    tier: int, trained_by: str | None, approvers: list[str]
) -> None:
    with pytest.raises(GateRefused):
        hold_separation(tier, trained_by, [_person(name) for name in approvers])


@pytest.mark.parametrize(
    ("tier", "trained_by", "approvers"), [(1, "ada", ["ben"]), (1, "ada", ["ada", "ben"]), (2, "ada", ["ada"])]
)
def test_a_promotion_that_somebody_else_approved_is_let_through(
    tier: int, trained_by: str, approvers: list[str]
) -> None:
    hold_separation(tier, trained_by, [_person(name) for name in approvers])
