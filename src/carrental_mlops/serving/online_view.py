"""How stored features lie in Feast's online store: keys, and values in protobuf's wire form, read without protobuf.

Feast's keys are no public interface. So the features pipeline describes them in a manifest (`OnlineView`), made with
Feast's own functions, and proves after each materialisation that this reader returns what Feast's own call returns.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from carrental_mlops.errors import DataError
from carrental_mlops.serving.refusal import Refusal

Row = tuple[list[float], float]
"""Stored features of one entity in the view's order, NaN where missing, and when they were taken (seconds since
1970-01-01 UTC)."""


@dataclass(frozen=True)
class OnlineView:
    """Where one feature view lies in the online store."""

    view: str
    entity: str
    """Request field that holds the id."""
    features: tuple[str, ...]
    zero: tuple[str, ...]
    """Features that are 0 for an entity without a snapshot; the others are NaN."""
    text: bool
    """True where the id is text, False where it is an INT64."""
    head: bytes
    """Of the key, up to the id."""
    tail: bytes
    """Of a Redis key, after the id."""
    fields: tuple[bytes, ...]
    """Of the Redis hash: one a feature, then the timestamp."""
    table: str
    """SQLite table."""

    def key(self, identity: Any) -> bytes:
        """The entity's key.

        Raises:
            Refusal: 422, no key can hold such an id.
        """
        if self.text:
            encoded = str(identity).encode(errors="surrogatepass")
            return self.head + _LENGTH.pack(len(encoded)) + encoded
        try:
            return self.head + _INT64.pack(identity)
        except struct.error:
            raise Refusal(422, f"field `{self.entity}` wants an INT64", self.entity) from None

    def to_json(self) -> dict[str, Any]:
        """The view as the manifest holds it."""
        plain = {"view": self.view, "entity": self.entity, "features": self.features, "zero": self.zero}
        stored = {"head": self.head.hex(), "tail": self.tail.hex(), "fields": [f.hex() for f in self.fields]}
        return {**plain, "text": self.text, "table": self.table, **stored}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> OnlineView:
        """The view that `to_json` wrote.

        Raises:
            DataError: a part is missing.
        """
        try:
            return cls(
                view=told["view"],
                entity=told["entity"],
                features=tuple(told["features"]),
                zero=tuple(told["zero"]),
                text=told["text"],
                head=bytes.fromhex(told["head"]),
                tail=bytes.fromhex(told["tail"]),
                fields=tuple(map(bytes.fromhex, told["fields"])),
                table=told["table"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the manifest of the online store is incomplete: {error!r}", "crm run features") from None


class Store(Protocol):
    """An online store that can be asked for many entities at once."""

    async def start(self) -> None:
        """Connect.

        Raises:
            PlatformError: it does not answer; `retryable` where it may by itself later.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...

    async def fetch(self, asked: Sequence[tuple[OnlineView, Sequence[Any]]]) -> list[list[Row | None]]:
        """For each view and each of its ids (distinct, none missing), the row, None where there is none.

        Raises:
            Refusal: 422, no key can hold such an id.
            Exception: whatever goes wrong with the store.
        """
        ...


def number_of(value: bytes | None) -> float:
    """A `feast.types.Value` in protobuf's wire form as a number; NaN where it holds none.

    Raises:
        ValueError: it is no number, or no protobuf.
    """
    if not value:
        return _NAN
    tag, length = value[0], len(value)
    if tag == _DOUBLE and length == 9:
        return float(_double(value, 1)[0])
    if tag == _FLOAT and length == 5:
        return float(_float(value, 1)[0])
    if tag in _WHOLE:
        number, end = _varint(value, 1)
        if end == length:
            return float(number - (1 << 64) if number >> 63 else number)
    if value == _NULL:
        return _NAN
    raise ValueError("a stored feature is not a number")


def seconds_of(stamp: bytes) -> float:
    """A `google.protobuf.Timestamp` in wire form, as seconds since 1970-01-01 UTC.

    Raises:
        ValueError: it is none.
    """
    read, at = {_SECONDS: 0, _NANOS: 0}, 0
    while at < len(stamp):
        tag = stamp[at]
        if tag not in read:
            raise ValueError("a stored timestamp is none")
        number, at = _varint(stamp, at + 1)
        read[tag] = number - (1 << 64) if number >> 63 else number
    return read[_SECONDS] + read[_NANOS] / 1e9


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends. Source: protobuf encoding, base 128 varints, ten bytes at most."""
    number = 0
    for place, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
    raise ValueError("a number has no end")


_LENGTH, _INT64 = struct.Struct("<I"), struct.Struct("<q")
_double = struct.Struct("<d").unpack_from
_float = struct.Struct("<f").unpack_from
_NAN = float("nan")
# Tags: number of the field in feast.types.Value, shifted by three, and how it is written.
_DOUBLE, _FLOAT = 5 << 3 | 1, 6 << 3 | 5
_WHOLE = (3 << 3, 4 << 3, 7 << 3)  # int32, int64, bool
_NULL = b"\x98\x01\x00"  # null_val = 19
_SECONDS, _NANOS = 1 << 3, 2 << 3
