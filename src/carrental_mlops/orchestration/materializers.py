"""How what passes between steps is kept by ZenML: Parquet, JSON, or the object's own files; never a pickle."""

from __future__ import annotations

import functools
import inspect
import json
import os
import tempfile
import typing
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer

from carrental_mlops.config.type_text import type_text
from carrental_mlops.errors import ContractError, CrmError, DataError
from carrental_mlops.files import folder_digest

_DIGEST = "digest.json"


class _Checked(BaseMaterializer):
    """Files below `<uri>/data` and, beside them, the digest that loading verifies."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    _digest = ""

    def save(self, data: Any) -> None:
        """Write the files of `data` and record their digest.

        Raises:
            DataError: `data` holds a value that its declared form cannot keep.
        """
        with self._folder() as folder:
            self.write(data, folder)
            self._digest = folder_digest(folder)
        with fileio.open(f"{self.uri}/{_DIGEST}", "w") as stream:
            stream.write(json.dumps({"sha256": self._digest}))

    def load(self, data_type: type[Any]) -> Any:
        """The value, once its files are the ones that were written.

        Raises:
            DataError: a file is missing or differs; names both digests.
        """
        expected = self.expected_content_hash or self._recorded()
        with self._stored() as folder:
            found = folder_digest(folder) if folder.is_dir() else "nothing"
            if found != expected:
                raise DataError(
                    f"artefact {self.uri} is corrupt: its files have sha256 {found}, {expected} was recorded",
                    "run the pipeline again with its cache off: crm run PIPELINE --no-cache",
                )
            return self.read(folder, data_type)

    def compute_content_hash(self, data: Any) -> str | None:
        """The digest of what `save` wrote: ZenML keys the cache of later steps by it, not by who made it."""
        return self._digest or None

    @classmethod
    def can_save_type(cls, data_type: type[Any]) -> bool:
        """True: `materializer_for` has chosen."""
        return True

    @classmethod
    def can_load_type(cls, data_type: type[Any]) -> bool:
        """True: the artefact names the type that was saved."""
        return True

    def write(self, data: Any, folder: Path) -> None:
        """Write `data` below the empty `folder`."""
        raise NotImplementedError

    def read(self, folder: Path, data_type: type[Any]) -> Any:
        """What `write` was given; reads all of it, since `folder` may be a copy that is removed next."""
        raise NotImplementedError

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where `write` writes: below the URI, or in a scratch folder that is uploaded after the block."""
        local = self._local("data")
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="crm-save-") as scratch:
            yield Path(scratch)
            self._upload(Path(scratch))

    def _local(self, name: str) -> Path | None:
        return None if "://" in self.uri else Path(self.uri) / name

    def _recorded(self) -> str:
        try:
            with fileio.open(f"{self.uri}/{_DIGEST}", "r") as stream:
                return str(json.loads(stream.read())["sha256"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"artefact {self.uri} has no digest: {error}", "run the pipeline again") from error

    def _upload(self, folder: Path) -> None:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            target = f"{self.uri}/data/{path.relative_to(folder).as_posix()}"
            fileio.makedirs(target.rsplit("/", 1)[0])
            fileio.copy(str(path), target, overwrite=True)

    @contextmanager
    def _stored(self) -> Iterator[Path]:
        """The folder to read: below the URI, or a copy of it that is removed after the block."""
        local = self._local("data")
        if local is not None:
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="crm-load-") as scratch:
            self._download(Path(scratch))
            yield Path(scratch)

    def _download(self, folder: Path) -> None:
        for where, _, files in fileio.walk(f"{self.uri}/data"):
            here = os.fsdecode(where)
            below = folder / here.removeprefix(f"{self.uri}/data").strip("/")
            below.mkdir(parents=True, exist_ok=True)
            for name in map(os.fsdecode, files):
                fileio.copy(f"{here}/{name}", str(below / name))


class TableMaterializer(_Checked):
    """A pandas DataFrame as Parquet: index, dtypes and time zones kept."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True

    def write(self, data: Any, folder: Path) -> None:
        """One `table.parquet`."""
        import pyarrow as pa

        try:
            data.to_parquet(folder / "table.parquet", engine="pyarrow", compression="zstd")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise DataError(
                f"a table cannot be kept as Parquet: {error}", "give each column one type and a name that is a string"
            ) from error

    def read(self, folder: Path, data_type: type[Any]) -> Any:
        """The DataFrame."""
        import pandas as pd

        return pd.read_parquet(folder / "table.parquet", engine="pyarrow")

    def extract_metadata(self, data: Any) -> dict[str, Any]:
        """Rows and columns, shown in ZenML."""
        return {"rows": len(data), "columns": len(data.columns)}


class JsonMaterializer(_Checked):
    """A dataclass, pydantic model, NamedTuple or plain value as JSON, validated by its type when loaded."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True

    def write(self, data: Any, folder: Path) -> None:
        """One `value.json`; NaN and infinities are kept."""
        try:
            plain = _adapter(_plain_type(type(data))).dump_python(data, mode="json", warnings="none", fallback=_number)
            (folder / "value.json").write_text(json.dumps(plain), encoding="utf-8")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"a {type(data).__name__} cannot be kept as JSON: {error}", "use plain values in it: str, int, float, …"
            ) from error

    def read(self, folder: Path, data_type: type[Any]) -> Any:
        """The value, as its type."""
        return _adapter(_plain_type(data_type)).validate_json((folder / "value.json").read_bytes())


class FolderMaterializer(_Checked):
    """An object that writes itself: `save(folder)` and, a classmethod, `load(folder)`."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL
    SKIP_REGISTRATION: ClassVar[bool] = True

    def write(self, data: Any, folder: Path) -> None:
        """What the object's `save` writes."""
        data.save(folder)

    def read(self, folder: Path, data_type: type[Any]) -> Any:
        """What the class's `load` reads."""
        return data_type.load(folder)


def materializer_for(tp: Any, where: str) -> type[BaseMaterializer]:
    """The materialiser of an output declared as `tp`.

    Args:
        tp: the declared type, `NewType` and generics allowed.
        where: what the message names, such as `TrainStep.run -> model`.

    Raises:
        ContractError: `tp` is neither a table, nor plain values, nor an object with `save` and `load`.
    """
    kind = stripped(tp)
    if isinstance(kind, type) and not typing.get_origin(kind):
        if f"{kind.__module__}.{kind.__qualname__}" == "pandas.core.frame.DataFrame":
            return TableMaterializer
        if callable(getattr(kind, "save", None)) and inspect.ismethod(getattr(kind, "load", None)):
            return FolderMaterializer
    try:
        _adapter(kind)
    except CrmError:
        raise
    except Exception as error:
        raise ContractError(
            f"{where}: a {type_text(tp)} cannot be handed from step to step without pickle "
            f"({str(error).splitlines()[0]})",
            "return a DataFrame, a frozen dataclass of plain values, or an object with save(folder) and "
            "a classmethod load(folder)",
        ) from error
    return JsonMaterializer


def stripped(tp: Any) -> Any:
    """`tp` without its `NewType`s."""
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    return tp


@functools.cache
def _adapter(tp: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(tp)


def _plain_type(tp: type[Any]) -> Any:
    """`float` for `numpy.float64`, which is one; others as they are."""
    bases = (bool, int, float, str, bytes)
    return next((b for b in bases if tp.__module__ == "numpy" and issubclass(tp, b)), tp)


def _number(value: Any) -> Any:
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a plain value")
