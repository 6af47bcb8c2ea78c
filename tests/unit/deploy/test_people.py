"""Who approves is whom the CI's signed token names, and in tier 1 never only who trained."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from release_repo import IMAGE, deploys_to, repo_at

from carrental_mlops.cli.main import main
from carrental_mlops.config.deploy import Approval
from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.releases.draft import WantedRelease, draft_of
from carrental_mlops.deploy.releases.identity import (
    TOKEN,
    Person,
    approve,
    approvers,
    hold_separation,
    person_of,
    trainer,
)
from carrental_mlops.deploy.releases.release import Event, ModelRef
from carrental_mlops.deploy.releases.store import ReleaseStore
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
    ("trained_by", "said_yes"), [("ada", []), ("Ada", ["ada"]), ("ada", ["ada", "ada"]), (None, ["ben"])]
)
def test_what_only_the_trainer_approved_is_refused(trained_by: str | None, said_yes: list[str]) -> None:
    with pytest.raises(GateRefused):
        hold_separation(trained_by, [_person(name) for name in said_yes])


@pytest.mark.parametrize("said_yes", [["ben"], ["ada", "ben"]])
def test_what_somebody_else_approved_is_let_through(said_yes: list[str]) -> None:
    hold_separation("ada", [_person(name) for name in said_yes])


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Path:
    """A repo of tier 1 whose version 1, trained by ada@example.com, is in staging; prod believes `issuer`."""
    root = repo_at(tmp_path_factory.mktemp("people") / "repo", versions=1)
    deploys_to(root, "models", approval={"issuer": issuer})
    return root


def _crm(root: Path, *arguments: str) -> int:
    try:
        return main([*arguments, "--repo", str(root)])
    except SystemExit as ended:
        return int(ended.code or 0)


def _released_in_staging(root: Path) -> None:
    pytest.importorskip("helm_python")
    store = ReleaseStore(root, "releases/")
    if store.newest("staging") is None:
        draft = draft_of(open_repo(root, "staging"), "staging", WantedRelease("ada", f"{IMAGE}@sha256:{1:064x}", "1"))
        store.add("staging", lambda name: draft.stored(name, None, None, datetime.now(UTC)))
        store.record(Event(release="staging-1", state="available", at=datetime.now(UTC), by="ada"))


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ({"user_email": "Ada@example.com"}, 4, "only ada@example.com, who trained this model, has approved it"),
        ({"user_email": "ben@example.com", "key": OTHER}, 4, "the CI's token is refused: Signature verification"),
        ({"user_email": "ben@example.com", "exp": 1}, 4, "the CI's token is refused: Signature has expired"),
        (None, 4, "no CRM_OIDC_TOKEN"),
        ({"user_email": "ben@example.com"}, 0, "ben@example.com: model version 1 may go to prod"),
    ],
)
def test_in_tier_1_who_trained_may_not_approve_and_a_forged_or_missing_token_is_nobody(
    repo: Path, issuer: str, token: Any, code: int, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _released_in_staging(repo)
    monkeypatch.delenv(TOKEN, raising=False)
    if token:
        monkeypatch.setenv(TOKEN, _token(issuer, **token))
    capsys.readouterr()
    assert _crm(repo, "approve") == code
    told = capsys.readouterr()
    assert said in told.out + told.err and ".ey" not in told.out + told.err
    draft = draft_of(open_repo(repo, "prod"), "prod", WantedRelease("x", f"{IMAGE}@sha256:{1:064x}", "1"))
    if code:
        with pytest.raises(GateRefused, match=said):
            draft.refuse()
    else:
        draft.refuse()
        monkeypatch.setenv(TOKEN, _token(issuer, exp=1))
        draft.refuse()  # asked once, for scoring may outlast the token


def test_staging_and_lower_tiers_ask_for_no_second_person(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    wanted = WantedRelease("ada", f"{IMAGE}@sha256:{1:064x}", "1")
    draft_of(open_repo(repo, "staging"), "staging", wanted).refuse()
    draft_of(open_repo(repo, "prod", ("tier=2",)), "prod", wanted).refuse()


def test_git_s_user_counts_only_where_no_issuer_is_named(tmp_path: Path, issuer: str) -> None:
    model = ModelRef(name="fraud", version="1", digest="1" * 64)
    [who] = approvers(tmp_path, "prod", Approval(), model, {})
    assert (who.name, who.issuer) == ("test@example.com", "git")
    with pytest.raises(GateRefused, match="cannot be checked"):
        approvers(tmp_path, "prod", Approval(), model, {TOKEN: _token(issuer)})
    with pytest.raises(GateRefused, match="nobody tells who approves"):
        approvers(tmp_path, "prod", Approval(issuer=issuer), model, {})


def test_who_trains_is_whom_the_checked_token_names_else_git_s_user(
    repo: Path, issuer: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert trainer(repo, "prod", {TOKEN: _token(issuer)}) == "ada@example.com"
    assert trainer(repo, "prod", {}) == trainer(repo, "local", {TOKEN: _token(issuer)}) == "test@example.com"
    assert trainer(repo, "prod", {TOKEN: _token(issuer, key=OTHER)}) is None


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a bucket in an S3 on this machine."""
    pytest.importorskip("moto.server")
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "not-a-key"}
    for name, value in {**given, "DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    made = boto3.resource("s3").Bucket("people")
    made.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield made.name
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_yes_that_was_kept_counts_for_its_model_in_its_environment_alone(tmp_path: Path, bucket: str) -> None:
    approval, model = Approval(store=f"s3://{bucket}/approvals/"), ModelRef(name="fraud", version="1", digest="1" * 64)
    ben = _person("ben")
    assert approve(tmp_path, "prod", approval, model, ben) and approve(
        tmp_path, "prod", approval, model, _person("cem")
    )
    assert approvers(tmp_path, "prod", approval, model, {}) == (ben, _person("cem"))
    for env, other in (("staging", model), ("prod", model.model_copy(update={"digest": "2" * 64}))):
        assert [one.issuer for one in approvers(tmp_path, env, approval, other, {})] == ["git"]
    assert not approve(tmp_path, "prod", Approval(), model, ben)
