"""What the requests hold: real rows, or rows made up from the row contract."""

from __future__ import annotations

import json
import math
import random
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.errors import DataError
from carrental_mlops.loadtest.target import Field

MOST = 500
"""Rows that requests are made from, in turn."""
Row = Mapping[str, Any]
_SPAN = 1_000
"""Width of a number's range where the contract bounds one side or none."""


@dataclass(frozen=True)
class Rows:
    """Rows for requests, and where they come from."""

    rows: Sequence[Row]
    source: str
    """As the report says it."""
    made_up: bool = False


def from_file(path: Path) -> Rows:
    """At most 500 rows, evenly spaced, of a Parquet, CSV or JSON lines file.

    Raises:
        DataError: it is missing, unreadable or empty.
    """
    from pyarrow import ArrowException

    from carrental_mlops.data.sources.formats import table_of

    try:
        table = table_of(str(path), path)
    except (OSError, ValueError, ArrowException) as error:
        raise DataError(f"--rows {path}: {error}", "name a .parquet, .csv or .jsonl file") from error
    if not table.num_rows:
        raise DataError(f"--rows {path}: no row in it", "name a file with rows")
    every = math.ceil(table.num_rows / MOST)
    return Rows(table.take(list(range(0, table.num_rows, every))).to_pylist(), path.name)


def made_up(contract: type[RowContract], n: int = 100, seed: int = 0) -> Rows:
    """`n` rows within the types and bounds of `contract`, which itself has accepted each.

    Raises:
        DataError: no such row was accepted, since the contract asks for more than types and bounds.
    """
    rng = random.Random(seed)  # noqa: S311 - sample rows, no secret
    rows: list[Row] = []
    for _ in range(20 * n):
        row = {name: _value(info, rng) for name, info in contract.model_fields.items()}
        try:
            contract.model_validate(row)
        except ValidationError:
            continue
        rows.append(row)
        if len(rows) == n:
            return Rows(rows, f"made up within the bounds of {contract.__name__}", made_up=True)
    raise DataError(f"no row could be made up that `{contract.__name__}` accepts", "give real ones: --rows FILE")


def bodies(rows: Rows, fields: Sequence[Field]) -> list[str]:
    """One request a row as JSON without its opening brace, so that an id can be put before it.

    Raises:
        DataError: a required field is in no row.
    """
    known = {name for row in rows.rows for name in row}
    if missing := [f.name for f in fields if f.required and f.name not in known]:
        raise DataError(
            f"rows ({rows.source}) lack {', '.join(missing)}, which the service wants", "give them: --rows FILE"
        )
    return [json.dumps({"inputs": _tensors(row, fields)}, separators=(",", ":"))[1:] for row in rows.rows]


def _tensors(row: Row, fields: Iterable[Field]) -> list[dict[str, Any]]:
    values = {f.name: _sent(row.get(f.name), f.datatype) for f in fields}
    return [
        {"name": f.name, "shape": [1], "datatype": f.datatype, "data": [values[f.name]]}
        for f in fields
        if f.required or values[f.name] is not None
    ]


def _sent(value: Any, datatype: str) -> Any:
    """`value` as JSON of `datatype`; None where it is missing or of another type, which the service then refuses."""
    if value is None or value != value:
        return None
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        return value.isoformat(timespec="microseconds")
    if datatype == "BYTES":
        return value.isoformat() if isinstance(value, date) else str(value)
    try:
        return {"BOOL": bool, "FP": float}.get(datatype.rstrip("0123456789"), int)(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _value(info: FieldInfo, rng: random.Random) -> Any:
    options: list[Any] = [a for a in typing.get_args(info.annotation) if isinstance(a, type)] or [info.annotation]
    if type(None) in options and rng.random() < 0.1:
        return None
    kind = next((o for o in options if o is not type(None)), str)
    if typing.get_origin(info.annotation) is Literal:
        return rng.choice(typing.get_args(info.annotation))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return rng.choice(list(kind))
    if kind is bool:
        return rng.random() < 0.5
    if kind is datetime:
        return datetime.now(UTC) - timedelta(seconds=rng.randrange(30 * 86_400))
    if kind in (int, float):
        low, high = _bounds(info, whole=kind is int)
        return rng.randint(int(low), int(high)) if kind is int else rng.uniform(low, high)
    return "".join(rng.choices("abcdefgh", k=_length(info)))


def _bounds(info: FieldInfo, whole: bool) -> tuple[float, float]:
    found = {name: getattr(m, name) for m in info.metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)}
    nudge = 1 if whole else 1e-9
    low, high = found.get("ge"), found.get("le")
    if "gt" in found:
        low = found["gt"] + nudge
    if "lt" in found:
        high = found["lt"] - nudge
    if low is None:
        low = 0 if high is None or high > 0 else high - _SPAN
    return low, low + _SPAN if high is None else high


def _length(info: FieldInfo) -> int:
    found = {n: getattr(m, n) for m in info.metadata for n in ("min_length", "max_length") if hasattr(m, n)}
    return int(min(max(8, found.get("min_length") or 0), found.get("max_length") or 8))
