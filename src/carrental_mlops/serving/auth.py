"""Who asks: bearer tokens of a file, JWTs of an issuer, or an identity header that a trusted peer sets.

No token, and nothing derived from one, goes to a log or an answer.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from carrental_mlops.config.serving import Auth
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving.refusal import Refusal

Headers = Sequence[tuple[bytes, bytes]]
Client = tuple[str, int] | None

log = logging.getLogger("carrental_mlops.serving")

_LEAST = 16
"""Shortest token of a file (characters)."""
_LOOK_EVERY_S = 1.0
"""How often the file of tokens is looked at."""
_ADDRESSES = 4096


class Door(Protocol):
    """Finds out who asks."""

    async def start(self) -> None:
        """Make ready; what a remote issuer does not give yet is asked for again with the requests."""
        ...

    async def caller(self, headers: Headers, client: Client) -> str:
        """The name of the caller.

        Args:
            headers: of the request, names in lower case.
            client: address and port at the other end of the connection; None where it has none.

        Raises:
            Refusal: 401 not known, 503 the issuer's keys are not there.
        """
        ...


def door_of(root: Path, auth: Auth) -> Door | None:
    """The door that `auth` asks for; None where everybody may ask.

    Args:
        root: of the model repo; `token_file` is relative to it.
        auth: the settings.

    Raises:
        ConfigError: a setting is missing, a token is too short, or a peer is no network.
    """
    if auth.kind == "none":
        return None
    if auth.kind == "bearer":
        if not auth.token_file:
            raise ConfigError("serving.auth.kind is bearer, but no file holds tokens", "serving.auth.token_file: PATH")
        return BearerDoor(root / auth.token_file)
    if auth.kind == "oidc":
        if not (auth.issuer and auth.audience):
            raise ConfigError("serving.auth.kind is oidc and wants issuer and audience", "set both in serving.auth")
        from carrental_mlops.serving.oidc import OidcDoor

        return OidcDoor(auth.issuer, auth.audience, auth.jwks_url)
    if not auth.peers:
        raise ConfigError("serving.auth.kind is peer, but no peer may set the header", "serving.auth.peers: [10.0.0.7]")
    return PeerDoor(auth.header, auth.peers)


def one_header(headers: Headers, name: bytes) -> bytes:
    """The value of a header that must be there once.

    Raises:
        Refusal: 401.
    """
    found = [value for key, value in headers if key == name]
    if len(found) != 1:
        raise Refusal(401, f"one header `{name.decode('latin-1')}` was expected")
    return found[0]


def bearer(headers: Headers) -> bytes:
    """The token of `authorization: Bearer …`.

    Raises:
        Refusal: 401.
    """
    scheme, _, token = one_header(headers, b"authorization").partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Refusal(401, "`authorization: Bearer …` was expected")
    return token.strip()


class BearerDoor:
    """One token a line, `TOKEN` or `NAME TOKEN`; `#` starts a comment.

    A token is looked up by its keyed hash, so that the time taken says nothing of any token. The file is read again
    within a second of its change; while it cannot be read, the tokens read last stay good. An empty file knows nobody.

    Raises:
        ConfigError: at the start, the file cannot be read or a token is shorter than 16 characters.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._key = path, os.urandom(32)
        self._next_look = 0.0
        try:
            self._seen = _state(path)
            self._names = self._read()
        except (OSError, ValueError) as error:
            fix = f"one token of at least {_LEAST} characters a line, such as of: openssl rand -hex 32"
            raise ConfigError(f"{path}: {error}", fix) from None

    async def start(self) -> None:
        """Nothing to do: the file was read."""

    async def caller(self, headers: Headers, client: Client) -> str:
        """The token's name, or `token-` and its line."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._look()
        name = self._names.get(self._hashed(bearer(headers)))
        if name is None:
            raise Refusal(401, "the token is not known")
        return name

    def _look(self) -> None:
        try:
            seen = _state(self._path)
            if seen != self._seen:
                self._names = self._read()
                self._seen = seen
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            log.warning("the file of tokens cannot be read, those read before stay good: %s", why)

    def _read(self) -> dict[bytes, str]:
        names = {}
        for number, line in enumerate(self._path.read_bytes().splitlines(), start=1):
            words = line.split()
            if not words or words[0].startswith(b"#"):
                continue
            if len(words) > 2 or len(words[-1]) < _LEAST:
                raise ValueError(f"line {number} is not `TOKEN` or `NAME TOKEN` with {_LEAST} characters or more")
            names[self._hashed(words[-1])] = words[0].decode("latin-1") if len(words) == 2 else f"token-{number}"
        return names

    def _hashed(self, token: bytes) -> bytes:
        return hashlib.blake2b(token, digest_size=32, key=self._key).digest()


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


class PeerDoor:
    """An identity header counts if the connection itself comes from a peer; no forwarding header is believed.

    Raises:
        ConfigError: a peer is neither an address nor a network.
    """

    def __init__(self, header: str, peers: Sequence[str]) -> None:
        self._header = header.lower().encode("latin-1")
        try:
            self._networks = [ipaddress.ip_network(peer) for peer in peers]
        except ValueError as error:
            raise ConfigError(
                f"serving.auth.peers: {error}", "name addresses or networks, such as 10.0.0.0/24"
            ) from None
        self._trusted: dict[str, bool] = {}

    async def start(self) -> None:
        """Nothing to do."""

    async def caller(self, headers: Headers, client: Client) -> str:
        """What the peer's header says."""
        host = client[0] if client else ""
        trusted = self._trusted.get(host)
        if trusted is None:
            if len(self._trusted) >= _ADDRESSES:
                self._trusted.clear()
            trusted = self._trusted[host] = self._is_peer(host)
        if not trusted:
            raise Refusal(401, "only a configured peer may ask")
        name = one_header(headers, self._header).decode("latin-1").strip()
        if not name or len(name) > 256 or not name.isprintable():
            raise Refusal(401, "the identity header is empty or not readable")
        return name

    def _is_peer(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)
