"""How what passes between steps is kept by ZenML: Parquet, JSON, or the object's own files; never a pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer

from carrental_mlops.errors import DataError
from carrental_mlops.files import folder_digest
from carrental_mlops.orchestration.kept import Form, OwnFiles, Plain, Table, form_of

_DIGEST = "digest.json"


class _Checked(BaseMaterializer):
    """Files below `<uri>/data` and, beside them, the digest that loading verifies."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    form: ClassVar[Form]
    _digest = ""

    def save(self, data: Any) -> None:
        """Write the files of `data` and record their digest.

        Raises:
            DataError: `data` holds a value that its declared form cannot keep.
        """
        with self._folder() as folder:
            self.form.write(data, folder)
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
            return self.form.read(folder, data_type)

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

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Where the form writes: below the URI, or in a scratch folder that is uploaded after the block."""
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
    """See `kept.Table`."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True
    form: ClassVar[Form] = Table()

    def extract_metadata(self, data: Any) -> dict[str, Any]:
        """Rows and columns, shown in ZenML."""
        return {"rows": len(data), "columns": len(data.columns)}


class JsonMaterializer(_Checked):
    """See `kept.Plain`."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True
    form: ClassVar[Form] = Plain()


class FolderMaterializer(_Checked):
    """See `kept.OwnFiles`."""

    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL
    SKIP_REGISTRATION: ClassVar[bool] = True
    form: ClassVar[Form] = OwnFiles()


_FORMS: dict[type, type[_Checked]] = {Table: TableMaterializer, Plain: JsonMaterializer, OwnFiles: FolderMaterializer}


def materializer_for(tp: Any, where: str) -> type[BaseMaterializer]:
    """The materialiser of an output declared as `tp`; arguments and errors are those of `kept.form_of`."""
    return _FORMS[type(form_of(tp, where))]
