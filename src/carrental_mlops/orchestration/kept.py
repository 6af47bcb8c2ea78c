"""The forms in which what passes between steps is kept: Parquet, JSON, or an object's own files; never a pickle."""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol

from carrental_mlops.config.type_text import type_text
from carrental_mlops.errors import ContractError, CrmError, DataError


class Form(Protocol):
    """How values of one kind lie in a folder."""

    def write(self, data: Any, folder: Path) -> None:
        """Write `data` below the empty `folder`.

        Raises:
            DataError: `data` holds a value that its declared form cannot keep.
        """
        ...

    def read(self, folder: Path, data_type: Any) -> Any:
        """What `write` was given; reads all of it, since `folder` may be a copy that is removed next."""
        ...


class Table:
    """A pandas DataFrame as Parquet: index, dtypes and time zones kept."""

    def write(self, data: Any, folder: Path) -> None:
        """One `table.parquet`."""
        import pyarrow as pa

        try:
            data.to_parquet(folder / "table.parquet", engine="pyarrow", compression="zstd")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise DataError(
                f"a table cannot be kept as Parquet: {error}", "give each column one type and a name that is a string"
            ) from error

    def read(self, folder: Path, data_type: Any) -> Any:
        """The DataFrame."""
        import pandas as pd

        return pd.read_parquet(folder / "table.parquet", engine="pyarrow")


class Plain:
    """A dataclass, pydantic model, NamedTuple or plain value as JSON, validated by its type when loaded."""

    def write(self, data: Any, folder: Path) -> None:
        """One `value.json`; NaN and infinities are kept."""
        try:
            plain = _adapter(_plain_type(type(data))).dump_python(data, mode="json", warnings="none", fallback=_number)
            (folder / "value.json").write_text(json.dumps(plain), encoding="utf-8")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"a {type(data).__name__} cannot be kept as JSON: {error}", "use plain values in it: str, int, float, …"
            ) from error

    def read(self, folder: Path, data_type: Any) -> Any:
        """The value, as its type."""
        return _adapter(_plain_type(data_type)).validate_json((folder / "value.json").read_bytes())


class OwnFiles:
    """An object that writes itself: `save(folder)` and, a classmethod, `load(folder)`."""

    def write(self, data: Any, folder: Path) -> None:
        """What the object's `save` writes."""
        data.save(folder)

    def read(self, folder: Path, data_type: Any) -> Any:
        """What the class's `load` reads."""
        return data_type.load(folder)


def form_of(tp: Any, where: str) -> Form:
    """The form of an output declared as `tp`.

    Args:
        tp: the declared type, `NewType` and generics allowed.
        where: what the message names, such as `TrainStep.run -> model`.

    Raises:
        ContractError: `tp` is neither a table, nor plain values, nor an object with `save` and `load`.
    """
    kind = stripped(tp)
    if isinstance(kind, type) and not typing.get_origin(kind):
        if f"{kind.__module__}.{kind.__qualname__}" == "pandas.core.frame.DataFrame":
            return Table()
        if callable(getattr(kind, "save", None)) and inspect.ismethod(getattr(kind, "load", None)):
            return OwnFiles()
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
    return Plain()


def stripped(tp: Any) -> Any:
    """`tp` without its `NewType`s."""
    while isinstance(tp, typing.NewType):
        tp = tp.__supertype__
    return tp


@functools.cache
def _adapter(tp: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(tp)


def _plain_type(tp: Any) -> Any:
    """`float` for `numpy.float64`, which is one; others as they are."""
    bases = (bool, int, float, str, bytes)
    return next((b for b in bases if getattr(tp, "__module__", "") == "numpy" and issubclass(tp, b)), tp)


def _number(value: Any) -> Any:
    if type(value).__module__ == "numpy":
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a plain value")
