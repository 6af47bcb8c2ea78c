"""JWTs of one OpenID Connect issuer, checked with its published keys."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt

from carrental_mlops.errors import ConfigError
from carrental_mlops.serving.auth import Client, Headers, bearer
from carrental_mlops.serving.refusal import Refusal

log = logging.getLogger("carrental_mlops.serving")

_KINDS = {"RS256": "RSA", "ES256": "EC"}
"""Algorithms that are accepted, with the kind of key of each."""
_REFETCH_S = 60.0
"""Least time between two fetches of keys, unless the last one failed."""
_RETRY_S = 5.0
_FRESH_S = 3600.0
"""Keys that are older are fetched again, so that a withdrawn one ends."""
_TIMEOUT_S = 5.0
_MOST = 256 << 10
"""Bytes of a document of the issuer."""
_KNOWN = 4096
"""Checked tokens that are remembered until they expire."""
_LEEWAY_S = 30
_NO_KEYS = (
    OSError,
    http.client.HTTPException,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    jwt.PyJWTError,
)
"""What an issuer can bring about that is down, or no issuer."""
_WHY: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.MissingRequiredClaimError: "the token lacks one of exp, iss, aud, sub",
}


class OidcDoor:
    """RS256 and ES256 tokens of `issuer` for `audience`, not expired; the caller is the token's `sub`.

    Keys are fetched in a thread, at most once a minute however many unknown key ids come, and kept while the issuer
    is down.

    Args:
        issuer: as the tokens name it.
        audience: as the tokens name it.
        jwks_url: where the keys are; None for what the issuer's discovery document says.

    Raises:
        ConfigError: a URL is not http or https.
    """

    def __init__(self, issuer: str, audience: str, jwks_url: str | None = None) -> None:
        for url in (issuer, jwks_url or issuer):
            if urlsplit(url).scheme not in ("http", "https"):
                raise ConfigError(f"serving.auth: `{url}` is no http or https URL", "serving.auth.issuer: https://…")
        self._issuer, self._audience, self._jwks_url = issuer, audience, jwks_url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._next_fetch = self._stale_at = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._known: dict[bytes, tuple[str, float]] = {}
        self._salt = os.urandom(32)

    async def start(self) -> None:
        """Fetch the keys; an issuer that does not answer is asked again with the requests, which are 503 until then."""
        await self._fetch()

    async def caller(self, headers: Headers, client: Client) -> str:
        """The token's `sub`."""
        token = bearer(headers)
        digest = hashlib.blake2b(token, digest_size=32, key=self._salt).digest()
        if time.monotonic() >= self._stale_at:
            self._begin_fetch()  # those at hand serve until it is done
        known = self._known.get(digest)
        if known is not None and time.time() < known[1]:
            return known[0]
        name, until = await self._checked(token)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[digest] = (name, until)
        return name

    async def _checked(self, token: bytes) -> tuple[str, float]:
        """(sub, second at which the token ends)."""
        try:
            head = jwt.get_unverified_header(token)
            algorithm, kid = head.get("alg"), head.get("kid")
            if not isinstance(algorithm, str) or algorithm not in _KINDS:
                raise Refusal(401, f"the token must be signed with {' or '.join(_KINDS)}")
            key = await self._key(kid, _KINDS[algorithm])
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise Refusal(401, _WHY.get(type(error), "the token is not valid")) from None
        return str(claims["sub"]), float(claims["exp"]) + _LEEWAY_S

    async def _key(self, kid: Any, kind: str) -> jwt.PyJWK:
        found = self._found(kid, kind)
        if found is None:
            await self._fetch()
            found = self._found(kid, kind)
        if found is None and not self._keys:
            raise Refusal(503, "the issuer's keys cannot be read", cause="issuer")
        if found is None:
            raise Refusal(401, "the token's key is not known")
        return found

    def _found(self, kid: Any, kind: str) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            kid = next(iter(self._keys))
        found = self._keys.get(kid) if isinstance(kid, str) else None
        return found if found is not None and found.key_type == kind else None

    async def _fetch(self) -> None:
        """Wait for the keys if a fetch is due or under way."""
        self._begin_fetch()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _begin_fetch(self) -> None:
        if self._fetching is None and time.monotonic() >= self._next_fetch:
            self._fetching = asyncio.create_task(self._fetched())

    async def _fetched(self) -> None:
        try:
            keys = await asyncio.to_thread(_fetch_keys, self._issuer, self._jwks_url)
            if set(keys) != set(self._keys):
                log.info("the issuer has %d signing keys", len(keys))
            self._keys = keys
            self._known.clear()
            self._next_fetch = time.monotonic() + _REFETCH_S
            self._stale_at = time.monotonic() + _FRESH_S
        except _NO_KEYS as error:
            log.warning("the keys of the issuer cannot be read: %s", type(error).__name__)
            self._next_fetch = self._stale_at = time.monotonic() + _RETRY_S
        finally:
            self._fetching = None


def _fetch_keys(issuer: str, jwks_url: str | None) -> dict[str, jwt.PyJWK]:
    """Key id to key, of the keys that may sign; read over the network.

    Raises:
        Exception: one of `_NO_KEYS`; the issuer does not answer, or not with keys.
    """
    if jwks_url is None:
        found = _document(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found["issuer"] != issuer:
            raise ValueError("the discovery document is of another issuer")
        jwks_url = str(found["jwks_uri"])
    keys = {}
    for number, told in enumerate(_document(jwks_url)["keys"]):
        if (
            told.get("kty") in _KINDS.values()
            and told.get("use", "sig") == "sig"
            and told.get("crv", "P-256") == "P-256"
        ):
            keys[str(told.get("kid", number))] = jwt.PyJWK(told, "RS256" if told["kty"] == "RSA" else "ES256")
    if not keys:
        raise ValueError("no key for signatures")
    return keys


def _document(url: str) -> dict[str, Any]:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("not an http or https URL")
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:  # noqa: S310, the scheme was checked
        found = json.loads(reply.read(_MOST + 1)[:_MOST])
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
