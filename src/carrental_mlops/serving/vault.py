"""The full input of each answer, encrypted, so that a decision can be replayed by whoever holds the key.

Envelope encryption: a worker has a key of its own (AES-256-GCM), wrapped by the master key (AES key wrap, RFC 3394) in
the first line of each segment. The master key encrypts no data. Nonces count up, so none comes twice under one key.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.serving.endpoint import Event

_NONCE = 12


class FileVault:
    """Seals and opens inputs.

    Args:
        key_file: holds the 32-byte master key in base64.

    Raises:
        ConfigError: it does not.
    """

    def __init__(self, key_file: Path) -> None:
        try:
            self._master = base64.b64decode(key_file.read_bytes().strip(), validate=True)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the audit key {key_file} cannot be read: {error}", f"crm audit key {key_file}"
            ) from None
        if len(self._master) != 32:
            raise ConfigError(
                f"the audit key {key_file} has {len(self._master)} bytes, not 32", f"crm audit key {key_file}"
            )
        self._key_id = hashlib.sha256(self._master).hexdigest()[:16]
        key = AESGCM.generate_key(256)
        self._cipher, self._count = AESGCM(key), itertools.count()
        header = {"key_id": self._key_id, "wrapped_key": _text(aes_key_wrap(self._master, key))}
        self._header = orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE)

    def header(self) -> bytes:
        """The first line of a segment: this worker's key, wrapped."""
        return self._header

    def seal(self, event: Event) -> bytes:
        """The line of one event; its id is readable, and bound to the input."""
        nonce = next(self._count).to_bytes(_NONCE, "big")
        plain = orjson.dumps(event.inputs, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
        sealed = self._cipher.encrypt(nonce, plain, event.id.encode())
        line = {"id": event.id, "nonce": _text(nonce), "sealed": _text(sealed)}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def open(self, segment: Path) -> Iterator[tuple[str, dict[str, list[Any]]]]:
        """(id of the event, field to values) of each answer in `segment`, a file of `inputs-*.jsonl`.

        Raises:
            DataError: the segment is not one, was changed, or was sealed under another master key.
        """
        with segment.open("rb") as file:
            cipher = self._unwrapped(segment, file.readline())
            for number, line in enumerate(file, 2):
                try:
                    kept = orjson.loads(line)
                    nonce, sealed = base64.b64decode(kept["nonce"]), base64.b64decode(kept["sealed"])
                    yield kept["id"], orjson.loads(cipher.decrypt(nonce, sealed, kept["id"].encode()))
                except (ValueError, KeyError, TypeError, InvalidTag):
                    raise DataError(f"{segment}:{number} was changed after it was sealed", "restore the file") from None

    def _unwrapped(self, segment: Path, line: bytes) -> AESGCM:
        try:
            header = orjson.loads(line)
            return AESGCM(aes_key_unwrap(self._master, base64.b64decode(header["wrapped_key"])))
        except InvalidUnwrap:
            wanted = header.get("key_id", "another")
            raise DataError(
                f"{segment} was sealed under key {wanted}, this is {self._key_id}", "name the key file of that time"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{segment}:1 holds no wrapped key", "restore the file") from None


def new_key() -> bytes:
    """The content of a fresh key file."""
    return base64.b64encode(AESGCM.generate_key(256)) + b"\n"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
