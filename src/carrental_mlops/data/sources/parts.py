"""Rows of many files in Parquet parts, each with the list of its files in its footer: one rename commits both."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from carrental_mlops.core import Context
from carrental_mlops.data.sources.formats import narrowed
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

FILE_COLUMNS = ["path", "size", "stamp", "digest", "rows"]
_FILES = b"crm.files"
_OPEN_PARTS = 4
"""Parts held in memory at a time while rows are put together."""


class Parts:
    """Parts of one source, by number.

    Args:
        folder: where they lie; None keeps them in memory.
        keep: False leaves `folder` as it is, though what it holds is used; further parts stay in memory.
    """

    def __init__(self, folder: Path | None, keep: bool) -> None:
        self._folder, self._keep = folder, keep
        self._at: dict[int, Path | pa.Table] = {}
        self.schemas: dict[str, pa.Schema] = {}
        """Of the parts that were found, by their path."""

    def scan(self, context: Context) -> pd.DataFrame:
        """Every file of the committed parts: `FILE_COLUMNS`, `part`, `start`; of one read twice the later reading."""
        from pyarrow import ArrowException
        from pyarrow.parquet import read_metadata

        frames = [pd.DataFrame(columns=[*FILE_COLUMNS, "part", "start"])]
        for path in sorted(self._folder.glob("part-*.parquet")) if self._folder else []:
            try:
                found = read_metadata(path)
                files = pd.DataFrame(json.loads(found.metadata[_FILES]))
            except (OSError, ArrowException, KeyError, TypeError, ValueError):
                context.log.warning("%s is damaged: its files are read again", path)
                continue
            number = int(path.stem.partition("-")[2])
            self._at[number], self.schemas[str(path)] = path, found.schema.to_arrow_schema().remove_metadata()
            frames.append(files.assign(part=number, start=files["rows"].cumsum() - files["rows"]))
        for draft in self._folder.glob(".*.parquet.*") if self._folder and self._keep else []:
            draft.unlink(missing_ok=True)
        return pd.concat(frames[1:] or frames, ignore_index=True).drop_duplicates("path", keep="last")

    def add(self, tables: list[pa.Table], files: pd.DataFrame) -> pd.DataFrame:
        """Commit the rows of `files`, one table each; `files` with `part` and `start`.

        Raises:
            PlatformError: the folder cannot be written, or the disk is full.
        """
        import pyarrow as pa
        from pyarrow import parquet

        whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        number = self._next_number()
        self._at[number] = whole
        if self._folder is not None and self._keep:
            self._at[number] = path = self._folder / f"part-{number:06d}.parquet"
            listed = whole.replace_schema_metadata({_FILES: json.dumps(files.to_dict("list"))})
            with whole_file(path) as draft:
                parquet.write_table(listed, draft, compression="zstd", write_page_checksum=True)
        return files.assign(part=number, start=files["rows"].cumsum() - files["rows"])

    def rows(self) -> dict[int, int]:
        """Number of a part to its rows, dead ones too."""
        from pyarrow.parquet import read_metadata

        return {n: read_metadata(p).num_rows if isinstance(p, Path) else len(p) for n, p in self._at.items()}

    def forget_all_but(self, wanted: set[int]) -> None:
        """Delete the other parts, where the folder is kept at all."""
        for number in self._at.keys() - wanted:
            part = self._at.pop(number)
            if isinstance(part, Path) and self._keep:
                part.unlink(missing_ok=True)

    def table(self, spans: pd.DataFrame, texts: set[str] | None) -> pa.Table:
        """The rows of `spans` (`part`, `start`, `end`) in their order.

        Args:
            spans: where rows lie.
            texts: columns whose values are numbers or truth values where all of them are; None for all columns.

        Raises:
            DataError: a part is damaged; it is deleted where the folder is kept.
        """
        import pyarrow as pa

        opened = lru_cache(_OPEN_PARTS)(self._read)
        places = [(int(p), int(s), int(e) - int(s)) for p, s, e in spans[["part", "start", "end"]].to_numpy()]
        pieces = []
        for part, start, rows in places:
            piece = opened(part).slice(start, rows)
            pieces.append(narrowed(piece, texts if texts is not None else set(piece.column_names)))
        for name in _at_odds(pieces, texts):
            for n, (part, start, rows) in enumerate(places):
                if name in pieces[n].column_names:
                    place = pieces[n].column_names.index(name)
                    pieces[n] = pieces[n].set_column(place, name, opened(part).column(name).slice(start, rows))
        opened.cache_clear()
        return pa.concat_tables(pieces, promote_options="permissive")

    def _next_number(self) -> int:
        taken = [int(p.stem.partition("-")[2]) for p in self._folder.glob("part-*.parquet")] if self._folder else []
        return max([*taken, *self._at], default=-1) + 1

    def _read(self, number: int) -> pa.Table:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        part = self._at[number]
        if not isinstance(part, Path):
            return part
        try:
            with ParquetFile(part, page_checksum_verification=True) as file:
                return file.read(use_threads=False).replace_schema_metadata(None)
        except (OSError, ArrowException) as error:
            if self._keep:
                part.unlink(missing_ok=True)
            raise DataError(f"{part} is damaged: {error}", f"run again; if it stays so: rm -r {part.parent}") from error


def _at_odds(pieces: list[Any], texts: set[str] | None) -> set[str]:
    """Columns that are text in one piece and something else in another."""
    import pyarrow as pa

    kinds: dict[str, set[Any]] = {}
    for piece in pieces:
        for field in piece.schema:
            if (texts is None or field.name in texts) and not pa.types.is_null(field.type):
                kinds.setdefault(field.name, set()).add(field.type)
    numbers = {pa.int64(), pa.float64()}
    return {name for name, found in kinds.items() if len(found) > 1 and not found <= numbers}
