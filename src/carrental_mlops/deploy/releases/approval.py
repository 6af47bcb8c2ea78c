"""Who a CI job acts for, from the CI's own OIDC token, and the rule that who trained may not alone approve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import GateRefused, PlatformError

_NAMES = ("user_email", "user_login", "actor")
"""Claims that name a person: GitLab's two, GitHub's."""
_TIMEOUT_S = 10


class Person(Frozen):
    """Somebody for whom a CI job ran."""

    name: str
    """Mail address or login, lower case."""
    subject: str
    """The token's `sub`: project, branch or environment."""
    issuer: str
    job: str | None = None
    """Id of the job or run."""


def person_of(token: str, issuer: str, audience: str = "crm", jwks_url: str | None = None) -> Person:
    """Whom a CI job acts for; the token's signature, issuer, audience and times are checked.

    Args:
        token: of the CI, RS256 or ES256.
        issuer: as the token names it, https.
        audience: as the token names it.
        jwks_url: where the issuer's keys are; None for what its discovery document says.

    Raises:
        GateRefused: the token is not the issuer's, not for us, expired, or names nobody.
        PlatformError: the issuer does not answer (retryable).

    Source: OpenID Connect Core 1.0, section 3.1.3.7; GitLab's and GitHub's pages on ID tokens for the claims.
    """
    import jwt

    try:
        keys = jwt.PyJWKClient(jwks_url or _keys_of(issuer), timeout=_TIMEOUT_S)
        key = keys.get_signing_key_from_jwt(token)
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


def hold_separation(tier: int, trained_by: str | None, approvers: Sequence[Person]) -> None:
    """Refuse a promotion of tier 1 that nobody but the one who trained has approved.

    Args:
        tier: of the service.
        trained_by: name of who trained the model; None where nobody knows.
        approvers: from `person_of`.

    Raises:
        GateRefused: no approval; in tier 1 also where the trainer is unknown, or is the only one who approved.
    """
    if not approvers:
        raise GateRefused("nobody has approved", "let somebody run the approval job")
    if tier > 1:
        return
    if not trained_by:
        raise GateRefused("nobody knows who trained this model; in tier 1 that must be said", "train it in the CI")
    if all(person.name == trained_by.strip().lower() for person in approvers):
        raise GateRefused(
            f"only {trained_by}, who trained this model, has approved it; tier 1 wants somebody else too",
            "let a colleague run the approval job",
        )


def _keys_of(issuer: str) -> str:
    import json
    import urllib.error
    import urllib.request

    if not issuer.startswith(("https://", "http://127.0.0.1:")):
        raise GateRefused(f"the issuer {issuer} is no https URL", "name the CI's issuer, https://…")
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - https, or this machine
            return str(json.load(answer)["jwks_uri"])
    except (OSError, ValueError, KeyError) as error:
        raise PlatformError(f"{url} does not answer: {error}", "try again later", retryable=True) from error
