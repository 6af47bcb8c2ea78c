"""What was read of a source of many files: path, size, digest and rows of each, kept beside the rows themselves.

The rows of some thousand files make one Parquet part, whose footer says which files it holds: one rename commits both,
so after a kill at any instant each file is either wholly there or still to be read. `manifest.parquet` is the list of
all parts together, written when a reading is complete.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from carrental_mlops.core import Context
from carrental_mlops.data.sources.formats import format_of, partitions
from carrental_mlops.data.sources.parts import FILE_COLUMNS, Parts
from carrental_mlops.data.sources.reading import Loaded, loaded
from carrental_mlops.errors import DataError
from carrental_mlops.files import whole_file
from carrental_mlops.integrations.source_files import Files, ListedFile

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
_PART_FILES, _PART_BYTES, _PART_S = 1024, 64 << 20, 10.0
"""A part is committed at this many files, bytes of rows, or seconds, whichever comes first."""
_WHOLE = dict.fromkeys(("size", "rows", "part", "start"), "int64")
_MOST_BROKEN = 100
"""Reading stops at this many broken files: they are not the exception."""


class Manifest:
    """The files of one source and their rows.

    Args:
        files: where they lie.
        context: of the step that reads.
        folder: where parts are kept; None keeps rows in memory.
        keep: False leaves `folder` untouched, though what it holds is used; further rows stay in memory.
    """

    def __init__(self, files: Files, context: Context, folder: Path | None = None, keep: bool = False) -> None:
        self._files, self._context, self._folder, self._keep = files, context, folder, keep
        self._parts = Parts(folder, keep)
        self._schema: pa.Schema | None = None
        self._first = ""
        self.held = pd.DataFrame()
        """A row for each file, by path: `FILE_COLUMNS`, and `part` and `start`, where its rows lie."""

    @property
    def rows(self) -> int:
        """Of all files."""
        return int(self.held["rows"].sum())

    @property
    def digest(self) -> str:
        """sha256 (hex) over path, size, digest and rows of every file: the fingerprint of the input."""
        whole = hashlib.sha256()
        for line in self.held[["path", "size", "digest", "rows"]].itertuples(index=False):
            whole.update("\0".join(map(str, line)).encode() + b"\n")
        return whole.hexdigest()

    def refresh(self, listed: list[ListedFile]) -> None:
        """Read what is new or changed among `listed`, and forget what is no longer there.

        Raises:
            DataError: a file cannot be read or does not fit the others; what could be read is kept.
            PlatformError: the place does not answer, or `folder` cannot be written.
        """
        self.held = self._as_listed(self._parts.scan(self._context))
        found = pd.DataFrame(listed, columns=["path", "size", "stamp"]).sort_values("path", ignore_index=True)
        both = found.merge(self.held, on="path", how="left", suffixes=("", "_held"))
        known = both["digest"].notna()
        same = (
            known & (both["size"] == both["size_held"]) & (both["stamp"] == both["stamp_held"]) & (both["stamp"] != "")
        )
        doubtful = both[known & ~same & (both["size"] == both["size_held"])]
        for n, path, digest in zip(doubtful.index, doubtful["path"], doubtful["digest"], strict=True):
            same[n] = self._files.digest(path) == digest
        before = len(self.held)
        self.held = both.loc[same, [*FILE_COLUMNS, "part", "start"]].astype(_WHOLE).reset_index(drop=True)
        self._drop_hollow_parts()
        self._expect_schemas()
        todo = found[~found["path"].isin(self.held["path"])]
        changed, gone = int((known & ~same).sum()), before - int(known.sum())
        if before:
            level = self._context.log.warning if changed or gone else self._context.log.info
            added = int((~known).sum())
            level("%s: %d files, %d unchanged, %d added, %d changed, %d missing since they were last read",
                  self._files.shown, len(found), int(same.sum()), added, changed, gone)  # fmt: skip
        self._read([ListedFile(*row) for row in todo.itertuples(index=False)])
        self.held = self.held.sort_values("path", ignore_index=True)
        self._write_manifest()

    def table(self) -> pa.Table:
        """The rows of all files, in the order of their paths.

        Raises:
            DataError: a part is damaged; it is forgotten, so the next `refresh` reads its files again.
        """
        held = self.held
        ends = held["start"] + held["rows"]
        breaks = ((held["part"] != held["part"].shift()) | (held["start"] != ends.shift())).cumsum()
        spans = held.assign(end=ends).groupby(breaks).agg({"part": "first", "start": "first", "end": "last"})
        folders = {name for path in held["path"] for name in partitions(path)}
        return self._parts.table(spans, None if format_of(held["path"].iloc[0]) == "csv" else folders)

    def _as_listed(self, held: pd.DataFrame) -> pd.DataFrame:
        """What only the manifest knows: the new stamp of a file that was touched, and which files are gone since."""
        path = self._folder / MANIFEST if self._folder else None
        if path is None or not path.is_file():
            return held
        try:
            listed = pd.read_parquet(path, columns=["path", "digest", "stamp", "part"])
        except (OSError, ValueError):
            return held
        held = held[held["path"].isin(listed["path"]) | ~held["part"].isin(listed["part"])]
        both = held.merge(listed[["path", "digest", "stamp"]], on=["path", "digest"], how="left", suffixes=("", "_new"))
        return both.assign(stamp=both["stamp_new"].fillna(both["stamp"])).drop(columns="stamp_new")

    def _drop_hollow_parts(self) -> None:
        """Files of a part that mostly holds rows no longer wanted are read again, so that dead rows do not pile up."""
        live = self.held.groupby("part")["rows"].sum().to_dict()
        hollow = [number for number, rows in self._parts.rows().items() if live.get(number, 0) * 2 < rows]
        self.held = self.held[~self.held["part"].isin(hollow)].reset_index(drop=True)

    def _read(self, todo: list[ListedFile]) -> None:
        batch, size, since, broken = list[Loaded](), 0, time.monotonic(), dict[str, str]()
        for one in self._context.progress(loaded(self._files, todo), total=len(todo), label="files"):
            problem = one.problem or self._fit(one.table.schema, one.entry.path)
            if problem:
                broken[one.entry.path] = problem
                if len(broken) >= _MOST_BROKEN:
                    break
                continue
            batch.append(one)
            size += one.table.nbytes
            if len(batch) >= _PART_FILES or size >= _PART_BYTES or time.monotonic() - since > _PART_S:
                self._commit(batch)
                batch, size, since = [], 0, time.monotonic()
        self._commit(batch)
        if broken:
            raise _broken(self._files.shown, broken, len(todo))

    def _expect_schemas(self) -> None:
        """New files must go with those that are read already and still wanted."""
        for path, schema in self._parts.schemas.items():
            if int(Path(path).stem.partition("-")[2]) in set(self.held["part"]):
                self._fit(schema, path)

    def _fit(self, schema: pa.Schema, name: str) -> str:
        """Empty when `schema` goes with that of the files before, else why not."""
        import pyarrow as pa

        if self._schema is None:
            self._schema, self._first = schema.remove_metadata(), name
        if schema.equals(self._schema):
            return ""
        try:
            self._schema = pa.unify_schemas([self._schema, schema.remove_metadata()], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            both = [n for n in schema.names if n in self._schema.names]
            for n in both:
                mine, before = schema.field(n).type, self._schema.field(n).type
                if mine != before:
                    return f"expected column `{n}` as {before}, as in {self._first}, found {mine}"
            return f"its columns do not go with those of {self._first}"
        return ""

    def _commit(self, batch: list[Loaded]) -> None:
        if batch:
            listed = [(*one.entry, one.digest, len(one.table)) for one in batch]
            files = self._parts.add([one.table for one in batch], pd.DataFrame(listed, columns=FILE_COLUMNS))
            self.held = pd.concat([self.held, files], ignore_index=True) if len(self.held) else files

    def _write_manifest(self) -> None:
        """The list of all files; then parts that hold none of them go."""
        if self._folder is not None and self._keep:
            with whole_file(self._folder / MANIFEST) as draft:
                self.held.to_parquet(draft, index=False)
            self._parts.forget_all_but(set(self.held["part"]))


def _broken(shown: str, broken: Mapping[str, str], among: int) -> DataError:
    first = "; ".join(f"{path}: {problem}" for path, problem in list(broken.items())[:5])
    more = f"; and {len(broken) - 5} more" if len(broken) > 5 else ""
    least = "at least " if len(broken) >= _MOST_BROKEN else ""
    return DataError(
        f"ingest: {least}{len(broken)} of {among} files of {shown} cannot be read: {first}{more}",
        "replace them or move them elsewhere, then run again: files that were read are not read again",
    )
