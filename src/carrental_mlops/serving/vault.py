"""The full input of each answer, encrypted, so that a decision can be replayed by whoever holds the key.

Envelope encryption: a worker has a key of its own (AES-256-GCM), wrapped by the master key (AES key wrap, RFC 3394) in
the first line of each file. The master key encrypts no data. Nonces are random, so a fork of the worker repeats none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.serving.audit_event import json_line
from carrental_mlops.serving.endpoint import Event
from carrental_mlops.serving.segments import lines

_NONCE, _KEY = 12, 32
"""Bytes."""


@dataclass(frozen=True)
class Opened:
    """What was asked, in full."""

    event_id: str
    inputs: dict[str, list[Any]]
    """Field to (n,) values."""
    caller: str | None


class FileVault:
    """Seals and opens inputs.

    Args:
        key_file: holds 32-byte master keys in base64, one a line: the first seals, all open.

    Raises:
        ConfigError: it does not.
    """

    def __init__(self, key_file: Path) -> None:
        self._masters = {_id(key): key for key in _keys(key_file)}
        key_id, master = next(iter(self._masters.items()))
        key = AESGCM.generate_key(256)
        self._cipher = AESGCM(key)
        self._header = json_line({"key_id": key_id, "wrapped_key": _text(aes_key_wrap(master, key))})

    def header(self) -> bytes:
        """The first line of a file: this worker's key, wrapped."""
        return self._header

    def seal(self, event: Event) -> bytes:
        """The line of one event; its id is readable, and bound to the input."""
        nonce = os.urandom(_NONCE)
        plain = json_line({"inputs": event.inputs, "caller": event.caller})
        sealed = self._cipher.encrypt(nonce, plain, event.event_id.encode())
        return json_line({"id": event.event_id, "nonce": _text(nonce), "sealed": _text(sealed)})

    def open(self, segment: Path, wanted: Container[str] | None = None) -> Iterator[Opened]:
        """What was asked for each answer in `segment`, a file of `inputs-*`; what was half-written is left out.

        Args:
            segment: the file.
            wanted: ids of events; only these are decrypted. None for all.

        Raises:
            DataError: the file is not one, was changed, or was sealed under a master key that is not at hand.
        """
        rows = lines(segment)
        first = next(rows, None)
        if first is None:
            return
        cipher = self._unwrapped(segment, first)
        for number, line in enumerate(rows, 2):
            try:
                kept = orjson.loads(line)
                if wanted is not None and kept["id"] not in wanted:
                    continue
                nonce, sealed = base64.b64decode(kept["nonce"]), base64.b64decode(kept["sealed"])
                plain = json.loads(cipher.decrypt(nonce, sealed, kept["id"].encode()))
                yield Opened(kept["id"], plain["inputs"], plain["caller"])
            except (ValueError, KeyError, TypeError, AttributeError, InvalidTag):
                raise DataError(f"{segment}:{number} was changed after it was sealed", "restore the file") from None

    def _unwrapped(self, segment: Path, line: bytes) -> AESGCM:
        try:
            header = orjson.loads(line)
            master = self._masters.get(header["key_id"])
            if master is None:
                raise DataError(
                    f"{segment} was sealed under key {header['key_id']}, these are {', '.join(self._masters)}",
                    "name the key file of that time",
                )
            return AESGCM(aes_key_unwrap(master, base64.b64decode(header["wrapped_key"])))
        except (ValueError, KeyError, TypeError, InvalidUnwrap):
            raise DataError(f"{segment}:1 holds no wrapped key", "restore the file") from None


def new_key() -> bytes:
    """The content of a fresh key file."""
    return base64.b64encode(AESGCM.generate_key(256)) + b"\n"


def write_key(path: Path) -> None:
    """A fresh key file that its owner alone may read.

    Raises:
        ConfigError: there is a file already, or it cannot be written.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fix = "name another file; to change keys, put the new key on a line before the old ones"
        raise ConfigError(f"{path} is there already, and what it sealed needs it", fix) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", "name a file in a folder of yours") from None
    with os.fdopen(file, "wb") as opened:
        opened.write(new_key())


def _keys(file: Path) -> list[bytes]:
    try:
        keys = [base64.b64decode(line, validate=True) for line in file.read_bytes().split()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"the audit key {file} cannot be read: {error}", f"crm audit key {file}") from None
    if not keys or any(len(key) != _KEY for key in keys):
        sizes = ", ".join(str(len(key)) for key in keys) or "no"
        raise ConfigError(f"the audit key {file} has {sizes} bytes, not {_KEY}", f"crm audit key {file}")
    return keys


def _id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
