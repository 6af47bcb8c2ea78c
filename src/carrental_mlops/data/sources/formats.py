"""One file as a table: Parquet, CSV, JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
"""Each but Parquet may end in `.gz` too."""
EXPECTED = {
    "parquet": "a whole Parquet file",
    "csv": "UTF-8 CSV with a header line and as many values in each line",
    "jsonl": "one JSON object a line",
}
_HEAD_BYTES = 1 << 16
"""The header line of a CSV file may not be longer."""
_LINE_BYTES = 1 << 24
"""A line of JSON may not be longer."""


def format_of(path: str) -> str | None:
    """`parquet`, `csv` or `jsonl` by the end of the name; None for any other."""
    name = PurePosixPath(path.removesuffix(".gz")).name
    return next((kind for suffix, kind in SUFFIXES.items() if name.lower().endswith(suffix)), None)


def table_of(path: str, content: bytes | Path) -> pa.Table:
    """The rows of one file.

    CSV values stay text until all of them are seen, so a type never depends on which file a row lies in.
    A folder `day=2026-01-01` in `path` becomes a text column `day` where the file has none of that name.

    Args:
        path: its name; the end says which format, anything unknown is taken for Parquet.
        content: its bytes, or where it lies.

    Raises:
        ValueError, OSError, ArrowException: the file is broken or has a column twice; the message says how.
    """
    import pyarrow as pa

    read = {"csv": _csv, "jsonl": _jsonl}.get(format_of(path) or "", _parquet)
    table = read(_stream(path, content)).replace_schema_metadata(None)
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the columns {twice} stand twice")
    for name, value in partitions(path).items():
        if name not in names:
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def partitions(path: str) -> dict[str, str]:
    """Column to value, from the folders of `path` that are named `column=value`."""
    pairs = [part.split("=", 1) for part in path.split("/")[:-1] if "=" in part]
    return {name: value for name, value in pairs if name}


def narrowed(table: pa.Table, names: set[str]) -> pa.Table:
    """`table`, a text column in `names` as null, int64, float64 or bool where every value is one, else as it is."""
    for n, name in enumerate(table.column_names):
        if name in names:
            table = table.set_column(n, name, _narrowest(table.column(n)))
    return table


def _narrowest(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return column
    if column.null_count == len(column):
        return pc.cast(column, pa.null()) if len(column) else column
    for kind in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            return pc.cast(pc.utf8_trim_whitespace(column), kind)
        except pa.ArrowInvalid:
            continue
    return column


def times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text column as UTC times where every value is ISO 8601, all with or all without a zone; else as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return column
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return pc.cast(column, kind)
        except pa.ArrowInvalid:
            continue
    return column


def in_utc(column: pd.Series[Any]) -> pd.Series[Any]:
    """Times and ISO 8601 texts as UTC times, naive ones read as UTC; numbers, and a column with other values, as is."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError):
        return column


def _stream(path: str, content: bytes | Path) -> Any:
    import pyarrow as pa

    if path.endswith(".gz"):
        return gzip.open(content if isinstance(content, Path) else io.BytesIO(content))
    return pa.memory_map(str(content)) if isinstance(content, Path) else pa.BufferReader(content)


def _parquet(stream: Any) -> pa.Table:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(stream) as file:
        table = file.read(use_threads=False)
    return table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])


def _csv(stream: Any) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    head = stream.read(_HEAD_BYTES)
    if not head:
        raise ValueError("the file is empty")
    stream.seek(0)
    header = next(csv.reader(io.StringIO(head.decode("utf-8-sig", errors="replace"), newline="")), [])
    return arrow_csv.read_csv(
        stream,
        read_options=arrow_csv.ReadOptions(use_threads=False),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True
        ),
    )


def _jsonl(stream: Any) -> pa.Table:
    """Texts that look like times stay texts: whether all values of one file do is chance."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    options = arrow_json.ReadOptions(use_threads=False, block_size=_LINE_BYTES)
    table = arrow_json.read_json(stream, read_options=options)
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if not times:
        return table
    stream.seek(0)
    as_text = arrow_json.ParseOptions(explicit_schema=pa.schema([(name, pa.string()) for name in times]))
    return arrow_json.read_json(stream, read_options=options, parse_options=as_text).select(table.column_names)
