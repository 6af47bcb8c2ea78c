"""Who asks, who trained and who approved; in tier 1 nobody brings alone what he trained into production.

What somebody may do in AWS or in the cluster is decided there, by roles, and not by these names.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from carrental_mlops.config import load, repo_config
from carrental_mlops.config.deploy import Approval
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.objects import ObjectStore
from carrental_mlops.deploy.releases.release import Instant, ModelRef
from carrental_mlops.errors import ConfigError, CrmError, DataError, GateRefused, PlatformError
from carrental_mlops.integrations.code_version import git_user

TOKEN = "CRM_OIDC_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the OIDC token of the CI job."""
TRAINED_BY = "crm.trained_by"
"""Tag of a registered version: name of who trained it."""
_NAMES = ("user_email", "user_login", "actor")
"""Claims that name a person: GitLab's two, GitHub's."""
_TIMEOUT_S = 10
_LOG = logging.getLogger("carrental_mlops")


class Person(Frozen):
    """Somebody for whom a CI job ran, or git's user."""

    name: str
    """Mail address or login, lower case."""
    subject: str
    """The token's `sub`: project, branch or environment."""
    issuer: str
    """`git` where nobody vouches for the name."""
    job: str | None = None
    """Id of the job or run."""


class Yes(Frozen):
    """An approval, as it is kept."""

    env: str
    model: ModelRef
    person: Person
    at: Instant


def person(root: Path, environment: Mapping[str, str]) -> str:
    """A name for the record: whom the CI's token says, unchecked, else git's user; `unknown` where nothing tells.

    It asks nobody, so that a rollback and a switch work while the issuer is down. What is decided by a name takes
    `approvers`.

    Args:
        root: of the model repo.
        environment: variables of the process.

    Source: RFC 7519, section 3; claims of GitLab's id_tokens and of GitHub's.
    """
    try:
        body = environment[TOKEN].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return next(str(claims[name]) for name in (*_NAMES, "email", "sub") if claims.get(name))
    except (KeyError, IndexError, ValueError, AttributeError, TypeError, StopIteration):
        return git_user(root) or "unknown"


def trainer(root: Path, env: str, environment: Mapping[str, str]) -> str | None:
    """Who trains now: whom the CI's checked token names, else git's user; None where nobody knows.

    A token that does not hold stops no training: the model is then one that nobody trained.

    Args:
        root: of the model repo.
        env: whose `deploy.approval` holds.
        environment: variables of the process.
    """
    token = environment.get(TOKEN)
    approval = repo_config(load(root, env)).deploy.approval if token else Approval()
    if not (token and approval.issuer):
        return (git_user(root) or "").lower() or None
    try:
        return person_of(token, approval.issuer, approval.audience).name
    except CrmError as error:
        _LOG.warning("nobody is recorded as who trained: %s", error.what)
        return None


def approve(root: Path, env: str, approval: Approval, model: ModelRef, yes: Person) -> bool:
    """Keep the yes of `yes` to `model` in `env`; False where `deploy.approval.store` names no place.

    Raises:
        PlatformError: the place cannot be written.
    """
    if approval.store is None:
        return False
    made = Yes(env=env, model=model, person=yes, at=datetime.now(UTC))
    name, content = f"{_below(env, model)}/{made.at:%Y%m%dT%H%M%S.%fZ}", (made.model_dump_json() + "\n").encode()
    n = 0
    while not ObjectStore(root, approval.store).create(f"{name}-{n}.json", content):
        n += 1
    return True


def approvers(
    root: Path, env: str, approval: Approval, model: ModelRef, environment: Mapping[str, str]
) -> tuple[Person, ...]:
    """Who has said yes to `model` in `env`: whose yes `crm approve` kept, else who asks now.

    Raises:
        GateRefused: nobody's yes is kept, and nobody can tell who asks now.
        PlatformError: the issuer or the place of approvals does not answer.
        DataError: a kept yes cannot be read.
    """
    kept = _kept(ObjectStore(root, approval.store), _below(env, model)) if approval.store else ()
    return kept or (asker(root, approval, environment),)


def asker(root: Path, approval: Approval, environment: Mapping[str, str]) -> Person:
    """Who asks now, by the checked token of the CI; git's user only where there is neither token nor issuer.

    Raises:
        GateRefused: nothing tells, or the token does not hold.
        PlatformError: the issuer does not answer (retryable).
    """
    token = environment.get(TOKEN)
    if token and approval.issuer:
        return person_of(token, approval.issuer, approval.audience)
    if token:
        raise GateRefused(f"{TOKEN} cannot be checked: nobody says whose it is", "deploy.approval.issuer: https://…")
    if approval.issuer:
        raise GateRefused(f"no {TOKEN}: nobody tells who approves", "run this in a CI job of the project")
    name = git_user(root)
    if not name:
        raise GateRefused("nobody tells who approves", "git config user.email, or deploy.approval.issuer and the CI")
    return Person(name=name.lower(), subject="git", issuer="git")


def person_of(token: str, issuer: str, audience: str = "crm") -> Person:
    """Whom a CI job acts for; the token's signature, issuer, audience and times are checked.

    Args:
        token: of the CI, RS256 or ES256.
        issuer: as the token names it, https; its discovery document says where its keys are.
        audience: as the token names it.

    Raises:
        GateRefused: the token is not the issuer's, not for us, expired, or names nobody.
        PlatformError: the issuer does not answer (retryable).
        CrmError: pyjwt is not installed.

    Source: OpenID Connect Core 1.0, section 3.1.3.7; GitLab's and GitHub's pages on ID tokens for the claims.
    """
    try:
        import jwt
    except ImportError as error:
        raise CrmError("a token is checked by pyjwt, which is not installed", "pip install 'carrental-mlops[deploy]'"
                       ) from error  # fmt: skip
    try:
        key = jwt.PyJWKClient(_keys_of(issuer), timeout=_TIMEOUT_S).get_signing_key_from_jwt(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=["RS256", "ES256"],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.PyJWKClientConnectionError as error:
        raise PlatformError(f"{issuer} does not answer: {error}", "try again later", retryable=True) from error
    except jwt.PyJWTError as error:
        raise GateRefused(f"the CI's token is refused: {error}", "run this in a CI job of the project") from error
    name = next((str(claims[claim]) for claim in _NAMES if claims.get(claim)), "")
    if not name:
        raise GateRefused(f"the CI's token names no person ({', '.join(_NAMES)})", "let a person start the job")
    job = claims.get("job_id") or claims.get("run_id")
    return Person(name=name.strip().lower(), subject=str(claims["sub"]), issuer=issuer, job=str(job) if job else None)


def hold_separation(trained_by: str | None, said_yes: Sequence[Person]) -> None:
    """Refuse what nobody but the one who trained has approved: the rule of tier 1.

    Args:
        trained_by: name of who trained the model; None where nobody knows.
        said_yes: from `approvers`.

    Raises:
        GateRefused: no approval, nobody knows who trained, or only the trainer approved.
    """
    if not said_yes:
        raise GateRefused("nobody has approved", "let somebody run the approval job")
    if not trained_by:
        raise GateRefused("nobody knows who trained this model; in tier 1 that must be said", "train it in the CI")
    if all(one.name == trained_by.strip().lower() for one in said_yes):
        raise GateRefused(
            f"only {trained_by}, who trained this model, has approved it; tier 1 wants somebody else",
            "let a colleague run the approval job, or this command",
        )


def _below(env: str, model: ModelRef) -> str:
    return f"{env}/{model.name}/{model.digest}"


def _kept(store: ObjectStore, below: str) -> tuple[Person, ...]:
    found = []
    for name in store.names(below):
        try:
            found.append(Yes.model_validate_json(store.read(f"{below}/{name}") or b"").person)
        except ValidationError as error:
            raise DataError(f"{store.shown}{below}/{name} is no approval", "restore it from the bucket") from error
    return tuple(found)


def _keys_of(issuer: str) -> str:
    import urllib.request

    if not issuer.startswith(("https://", "http://127.0.0.1:")):
        raise ConfigError(f"the issuer {issuer} is no https URL", "deploy.approval.issuer: https://…")
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - https, or this machine
            return str(json.load(answer)["jwks_uri"])
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(f"{url} does not answer: {error}", "try again later", retryable=True) from error
