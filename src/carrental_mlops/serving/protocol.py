"""Open Inference Protocol v2, REST: JSON and binary tensors to columns, answers back.

https://github.com/kserve/open-inference-protocol and its binary tensor data extension.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from carrental_mlops.core.arrays import Values
from carrental_mlops.serving.refusal import Refusal

_MOST_FLAGS = 64
_INTEGERS = {f"{u}INT{bits}": np.dtype(f"{u.lower()}int{bits}") for u in ("", "U") for bits in (8, 16, 32, 64)}
_FLOATS = {f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)}
NUMERIC: Mapping[str, np.dtype[Any]] = {**_INTEGERS, **_FLOATS}
"""Datatypes of numbers, with the layout of their binary form (little-endian)."""
_ALLOWED: dict[str, set[type]] = {
    **{name: {int, type(None)} for name in _INTEGERS},
    **{name: {int, float, type(None)} for name in _FLOATS},
    "BOOL": {bool, type(None)},
    "BYTES": {str, type(None)},
}


@dataclass(slots=True)
class Inference:
    """One request, read."""

    id: str | None
    columns: dict[str, Values]
    """Field to `rows` values."""
    rows: int
    binary: frozenset[str] | bool = False
    """Outputs wanted as binary tensors; True for all."""
    wanted: tuple[str, ...] = ()
    """Outputs wanted; empty for all."""
    flags: tuple[str, ...] = ()
    """What the node of the graph before this one says of the stored features that it added."""


def read(body: bytes, names: Sequence[str], max_rows: int, header_length: int | None = None) -> Inference:
    """The request in `body`.

    A request names one tensor a field, each [n] or [n, 1]; or sends one [n, k] tensor of numbers whose k columns are
    the service's fields in the order of its metadata.

    Args:
        body: JSON, or JSON followed by the bytes of binary tensors.
        names: fields of the service, in the order of its metadata.
        max_rows: most rows of one request.
        header_length: bytes of JSON, from the header `Inference-Header-Content-Length`; None without binary tensors.

    Raises:
        Refusal: 400 unreadable, 413 too many rows, 422 naming the tensor that does not fit.
    """
    try:
        document = orjson.loads(body if header_length is None else body[:header_length])
    except orjson.JSONDecodeError:
        raise Refusal(400, "the body is not JSON") from None
    tail = memoryview(body)[header_length:] if header_length is not None else memoryview(b"")
    return read_document(document, tail, names, max_rows)


def read_document(document: Any, tail: memoryview, names: Sequence[str], max_rows: int) -> Inference:
    """The request in `document`: what the JSON said, from whichever transport.

    Args:
        document: the request's object.
        tail: bytes of its binary tensors, in their order.
        names: fields of the service, in the order of its metadata.
        max_rows: most rows of one request.

    Raises:
        Refusal: as `read`.
    """
    if type(document) is not dict or type(document.get("inputs")) is not list or not document["inputs"]:
        raise Refusal(400, 'the body wants an object with "inputs", a list of tensors', "inputs")
    columns, rows = _columns(document["inputs"], tail, names)
    if rows > max_rows:
        raise Refusal(413, f"{rows} rows in one request, at most {max_rows} are answered")
    identity = document.get("id")
    if identity is not None and (type(identity) is not str or len(identity) > 128):
        raise Refusal(422, "`id` wants a text of at most 128 characters", "id")
    if "outputs" in document or "parameters" in document:
        return Inference(identity, columns, rows, *_wishes(document), _flags(document))
    return Inference(identity, columns, rows)


def _columns(tensors: list[Any], tail: memoryview, names: Sequence[str]) -> tuple[dict[str, Values], int]:
    if len(tensors) == 1 and len(names) > 1:
        name, shape, values, tail = _tensor(tensors[0], tail)
        if len(shape) == 2 and shape[1] > 1:
            return _table(name, shape, values, names), shape[0]
        return {name: values}, shape[0]
    columns: dict[str, Values] = {}
    rows = -1
    for tensor in tensors:
        name, shape, values, tail = _tensor(tensor, tail)
        if len(shape) == 2 and shape[1] != 1:
            raise Refusal(422, f"tensor `{name}` has {shape[1]} columns, 1 was expected: one tensor a field", name)
        if rows not in (-1, shape[0]):
            raise Refusal(422, f"tensor `{name}` has {shape[0]} rows, those before it {rows}", name)
        if name in columns:
            raise Refusal(422, f"tensor `{name}` is sent twice", name)
        rows = shape[0]
        columns[name] = values
    return columns, rows


def _table(name: str, shape: list[int], values: Values, names: Sequence[str]) -> dict[str, Values]:
    width = shape[1]
    if width != len(names):
        raise Refusal(422, f"tensor `{name}` has {width} columns, the service has {len(names)} fields", name)
    return {field: values[i::width] for i, field in enumerate(names)}


def _tensor(tensor: Any, tail: memoryview) -> tuple[str, list[int], Values, memoryview]:
    """(name, shape, values in one list, what is left of the binary part)."""
    try:
        name, shape, datatype = tensor["name"], tensor["shape"], tensor["datatype"]
    except (KeyError, TypeError):
        raise Refusal(422, "a tensor wants name, shape, datatype and data", "inputs") from None
    if type(name) is not str or len(name) > 256:
        raise Refusal(422, "the name of a tensor wants a text", "inputs")
    allowed = _ALLOWED.get(datatype) if type(datatype) is str else None
    if allowed is None:
        raise Refusal(422, f"tensor `{name}`: datatype must be one of {', '.join(_ALLOWED)}", name)
    size = _size(name, shape)
    parameters = tensor.get("parameters")
    if parameters and type(parameters) is dict and "binary_data_size" in parameters:
        values, tail = _binary(name, datatype, size, parameters["binary_data_size"], tail)
        return name, shape, values, tail
    data = tensor.get("data")
    if type(data) is not list:
        raise Refusal(422, f"tensor `{name}`: `data` wants a list", name)
    if data and type(data[0]) is list:
        data = _flat(name, data)
    if len(data) != size:
        raise Refusal(422, f"tensor `{name}`: shape says {size} values, data holds {len(data)}", name)
    if not allowed.issuperset(map(type, data)):
        raise Refusal(422, f"tensor `{name}`: a value is not {datatype}", name)
    return name, shape, data, tail


def _size(name: str, shape: Any) -> int:
    if type(shape) is list and len(shape) in (1, 2) and all(type(n) is int and n > 0 for n in shape):
        return int(shape[0] if len(shape) == 1 else shape[0] * shape[1])
    raise Refusal(422, f"tensor `{name}`: shape wants [rows] or [rows, columns], each at least 1", name)


def _flat(name: str, data: list[Any]) -> list[Any]:
    if not {list}.issuperset(map(type, data)):
        raise Refusal(422, f"tensor `{name}`: `data` mixes lists and values", name)
    return list(itertools.chain.from_iterable(data))


def _binary(name: str, datatype: str, size: int, length: Any, tail: memoryview) -> tuple[Values, memoryview]:
    if type(length) is not int or not 0 <= length <= len(tail):
        raise Refusal(422, f"tensor `{name}`: binary_data_size is not the size of what was sent", name)
    part, rest = tail[:length], tail[length:]
    if datatype == "BYTES":
        return _texts(name, size, bytes(part)), rest
    layout = np.dtype(bool) if datatype == "BOOL" else NUMERIC[datatype]
    if length != size * layout.itemsize:
        raise Refusal(422, f"tensor `{name}`: {length} bytes, {size * layout.itemsize} were expected", name)
    return np.frombuffer(part, layout.newbyteorder("<")), rest


def _texts(name: str, size: int, part: bytes) -> list[str]:
    """BYTES: each element is its length, 4 bytes little-endian, and then its bytes."""
    texts, at = [], 0
    try:
        while at < len(part):
            end = at + 4 + int.from_bytes(part[at : at + 4], "little")
            if end > len(part):
                raise ValueError(end)
            texts.append(part[at + 4 : end].decode())
            at = end
    except ValueError:
        raise Refusal(422, f"tensor `{name}`: not the binary form of BYTES in UTF-8", name) from None
    if len(texts) != size:
        raise Refusal(422, f"tensor `{name}`: shape says {size} values, {len(texts)} were sent", name)
    return texts


def _wishes(document: dict[str, Any]) -> tuple[frozenset[str] | bool, tuple[str, ...]]:
    try:
        everything = bool((document.get("parameters") or {}).get("binary_data_output", False))
        outputs = document.get("outputs") or []
        wanted = tuple(output["name"] for output in outputs)
        if any(type(name) is not str for name in wanted) or len(set(wanted)) != len(wanted):
            raise Refusal(422, "`outputs` wants each output once, by its name", "outputs")
        binary = {o["name"] for o in outputs if (o.get("parameters") or {}).get("binary_data", everything)}
    except (KeyError, TypeError, AttributeError):
        raise Refusal(422, "`outputs` wants a list of objects with a name", "outputs") from None
    return (frozenset(binary) if outputs else everything), wanted


def _flags(document: dict[str, Any]) -> tuple[str, ...]:
    flags = (document.get("parameters") or {}).get("flags")
    return tuple(flag for flag in flags[:_MOST_FLAGS] if type(flag) is str) if type(flags) is list else ()


@dataclass(slots=True)
class Written:
    """One reply, written."""

    body: bytes
    header_length: int | None = None
    """Bytes of JSON before binary tensors; None where there are none."""


def write(
    inference: Inference,
    identity: str,
    model: str,
    version: str,
    outputs: Mapping[str, tuple[str, Values]],
    parameters: Mapping[str, Any] | None = None,
) -> Written:
    """The reply to `inference`.

    Args:
        inference: the request; says which outputs are wanted and which of them in binary form.
        identity: of the answer, as the audit has it.
        model: name of the service.
        version: of the model that answered.
        outputs: name to datatype and (rows,) values.
        parameters: of the reply, such as flags.
    """
    tensors, tail = [], []
    for name, datatype, values in chosen(inference, outputs):
        tensor: dict[str, Any] = {"name": name, "shape": [inference.rows], "datatype": datatype}
        if inference.binary is True or (inference.binary and name in inference.binary):
            part = packed(datatype, values)
            tensor["parameters"] = {"binary_data_size": len(part)}
            tail.append(part)
        else:
            tensor["data"] = values
        tensors.append(tensor)
    reply: dict[str, Any] = {"model_name": model, "model_version": version, "id": identity, "outputs": tensors}
    if parameters:
        reply["parameters"] = parameters
    head = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    return Written(head + b"".join(tail), len(head)) if tail else Written(head)


def plain(name: str, datatype: str, values: Iterable[Any]) -> list[Any]:
    """Values of a transport that has no null and sends texts as bytes, as JSON would hold them: NaN is missing.

    Raises:
        Refusal: 422, a text is not UTF-8.
    """
    if datatype in _FLOATS:
        return [None if value != value else value for value in values]
    if datatype != "BYTES":
        return list(values)
    try:
        return [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise Refusal(422, f"tensor `{name}`: not UTF-8", name) from None


def chosen(inference: Inference, outputs: Mapping[str, tuple[str, Values]]) -> list[tuple[str, str, Values]]:
    """(name, datatype, values) of each output that `inference` wants, all of which the endpoint has."""
    return [(name, *outputs[name]) for name in inference.wanted or outputs]


def packed(datatype: str, values: Values) -> bytes:
    """Values as a binary tensor: little-endian, texts each behind its length in 4 bytes."""
    if datatype == "BYTES":
        encoded = [str(value).encode() for value in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    return np.asarray(values, dtype=NUMERIC[datatype].newbyteorder("<")).tobytes()
