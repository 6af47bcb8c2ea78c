"""A checksum of what a value holds now, cheap enough to take before and after every hook."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Checksum = Callable[[Any], int]

_DEPTH = 4
"""Containers inside containers that are looked into."""
_SMALL = 4096
"""Bytes up to which a copy is cheaper than a view."""


_takes: dict[type, Checksum | None] = {}


def _unknown(value: Any) -> int:
    raise NotImplementedError


def checksum(value: Any, depth: int = _DEPTH) -> int | None:
    """A number that changes when the content of `value` does, comparable within this process.

    Covers DataFrames, Series, ndarrays and the containers list, dict, set and tuple that hold them.

    Returns:
        None for a value of any other type: its changes go unseen.
    """
    take = _takes.get(type(value), _unknown)
    if take is _unknown:
        take = _takes[type(value)] = next((t for known, t in _registry() if isinstance(value, known)), None)
    if take is not None:
        return take(value)
    if isinstance(value, Mapping):
        return hash(tuple((hash(key), _inside(inner, depth)) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return hash(tuple(_inside(inner, depth) for inner in value))
    if isinstance(value, set | frozenset):
        return hash(frozenset(_inside(inner, depth) for inner in value))
    return None


def _inside(value: Any, depth: int) -> int:
    found = checksum(value, depth - 1) if depth else None
    return id(value) if found is None else found


def _registry() -> list[tuple[type, Checksum]]:
    found: list[tuple[type, Checksum]] = []
    if numpy := sys.modules.get("numpy"):
        found.append((numpy.ndarray, _of_array))
    if pandas := sys.modules.get("pandas"):
        found += [(pandas.DataFrame, _of_frame), (pandas.Series, _of_series), (pandas.Index, _of_index)]
    return found


def _of_array(array: Any) -> int:
    if array.dtype.hasobject or array.nbytes < _SMALL:
        return hash((array.shape, array.tobytes()))  # of objects the pointers: one that was replaced is seen
    if array.dtype.kind in "mM":
        array = array.view("i8")  # the buffer protocol knows no times
    flat = array if array.flags.c_contiguous else array.T if array.flags.f_contiguous else array.copy()
    return hash((array.shape, array.dtype.str, zlib.crc32(flat.data.cast("B") if flat.size else b"")))


def _of_extension(values: Any) -> int:
    """Of the array behind one pandas column, whatever its kind."""
    inner = [getattr(values, name, None) for name in ("_ndarray", "_codes", "_data", "_mask", "_pa_array")]
    known = [_of_array(part) if hasattr(part, "flags") else id(part) for part in inner if part is not None]
    return hash(tuple(known)) if known else id(values)


def _of_values(values: Any) -> int:
    return _of_array(values) if hasattr(values, "flags") and hasattr(values, "tobytes") else _of_extension(values)


def _of_index(index: Any) -> int:
    if hasattr(index, "step"):
        return hash((index.start, index.stop, index.step))
    return _of_values(index._values if not hasattr(index, "codes") or not hasattr(index, "levels") else index.values)


def _of_series(series: Any) -> int:
    return hash((str(series.name), _of_index(series.index), _of_values(series._values)))


def _of_frame(frame: Any) -> int:
    blocks = tuple(_of_values(block.values) for block in frame._mgr.blocks)
    places = tuple(block.mgr_locs.as_array.tobytes() for block in frame._mgr.blocks)
    return hash((blocks, places, tuple(frame.columns), _of_index(frame.index)))
