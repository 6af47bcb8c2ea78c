"""What callers rely on: the fields that a service takes, with their bounds, and the outputs that it gives."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving.signature import Field, Signature

OUTPUTS = {"score": "FP64", "decision": "BYTES", "reason": "BYTES"}
"""What every answer holds, (n,) each, with the protocol's datatypes."""

_LOWER, _UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
_EXACT = ("pattern", "format", "multipleOf")
BOUNDS = (*_LOWER, *_UPPER, *_EXACT, "minLength", "maxLength", "enum", "const")
"""What of a field's JSON Schema callers are told, beside its type."""

Interface = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""`fields`: name to datatype, required, null (may be None) and bounds; `outputs`: name to datatype."""


def bounds(contract: type[RowContract]) -> dict[str, dict[str, Any]]:
    """Field to its bounds in the words of JSON Schema; `null` says that None is allowed."""
    document = contract.model_json_schema()
    return {n: _bounds(told, document.get("$defs", {})) for n, told in document.get("properties", {}).items()}


def _bounds(told: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [shared[k["$ref"].rpartition("/")[2]] if "$ref" in k else k for k in told.get("anyOf", (told,))]
    plain = [kind for kind in kinds if kind.get("type") != "null"]
    found = {name: plain[0][name] for name in BOUNDS if name in plain[0]} if len(plain) == 1 else {}
    return {**found, "null": len(plain) < len(kinds)}


def interface(contract: type[RowContract], stored: Sequence[str] = (), without: Sequence[str] = ()) -> Interface:
    """What callers of a service with this contract rely on; arguments as those of `Signature`."""
    known = bounds(contract)
    return {
        "fields": {f.name: _field(f, known) for f in Signature(contract, stored, without).fields},
        "outputs": {name: {"datatype": datatype} for name, datatype in OUTPUTS.items()},
    }


def _field(field: Field, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"datatype": field.datatype, "required": field.required, **known.get(field.name, {"null": True})}


def to_text(told: Interface) -> str:
    """The same text for the same interface."""
    return json.dumps(told, sort_keys=True)


def from_text(text: str) -> Interface:
    """What `to_text` wrote.

    Raises:
        ValueError: it is something else.
    """
    told = json.loads(text)
    if not isinstance(told, dict) or not {"fields", "outputs"} <= told.keys():
        raise ValueError("no fields and outputs")
    return told


def breaks(now: Interface, then: Interface) -> tuple[str, ...]:
    """What a caller of `now` could no longer do with `then`, one sentence each; empty where every caller can go on.

    A field or output that is gone or has another datatype breaks, and so does a field that has become required, no
    longer takes None, or takes fewer values. Further optional fields, further outputs and wider bounds do not.
    """
    return (*_fields(now["fields"], then["fields"]), *_outputs(now["outputs"], then["outputs"]))


def _fields(now: Mapping[str, Mapping[str, Any]], then: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, old in now.items():
        new = then.get(name)
        if new is None:
            yield f"field `{name}` is gone; keep it, optional where the model does not read it"
        elif new["datatype"] != old["datatype"]:
            yield f"field `{name}` was {old['datatype']} and is {new['datatype']}; add a field under another name"
        else:
            if new["required"] and not old["required"]:
                yield f"field `{name}` was optional and is required; give it a default"
            if old.get("null") and not new.get("null"):
                yield f"field `{name}` took null and no longer does; declare it `… | None`"
            for bound in _narrowed(old, new):
                yield f"field `{name}` takes fewer values: {bound}; widen it again"
    for name, new in then.items():
        if name not in now and new["required"]:
            yield f"field `{name}` is new and required; give it a default"


def _narrowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for names, limit in ((_LOWER, _least), (_UPPER, _greatest)):
        if limit(new) > limit(old):
            yield f"{_said(new, names)}, it was {_said(old, names)}"
    if new.get("minLength", 0) > old.get("minLength", 0):
        yield f"it wants {new['minLength']} characters, it wanted {old.get('minLength', 0)}"
    if new.get("maxLength", math.inf) < old.get("maxLength", math.inf):
        yield f"it takes {new['maxLength']} characters, it took {old.get('maxLength', 'any number')}"
    for name in _EXACT:
        if name in new and new[name] != old.get(name):
            yield f"{name} is {new[name]}, it was {old.get(name, 'not set')}"
    lost = _values(old) - _values(new) if _values(new) else set()
    if lost or (_values(new) and not _values(old)):
        yield f"{', '.join(sorted(lost)) or 'a value outside its list'} is no longer taken"


def _least(told: Mapping[str, Any]) -> tuple[float, bool]:
    """Higher is narrower."""
    return max((told.get("minimum", -math.inf), False), (told.get("exclusiveMinimum", -math.inf), True))


def _greatest(told: Mapping[str, Any]) -> tuple[float, bool]:
    """Higher is narrower."""
    return max((-told.get("maximum", math.inf), False), (-told.get("exclusiveMaximum", math.inf), True))


def _said(told: Mapping[str, Any], names: Sequence[str]) -> str:
    return " and ".join(f"{name} {told[name]}" for name in names if name in told) or "unbounded"


def _values(told: Mapping[str, Any]) -> set[str]:
    return set(map(repr, told.get("enum", [told["const"]] if "const" in told else [])))


def _outputs(now: Mapping[str, Mapping[str, Any]], then: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, old in now.items():
        new = then.get(name)
        if new is None:
            yield f"output `{name}` is gone; keep it"
        elif new["datatype"] != old["datatype"]:
            yield f"output `{name}` was {old['datatype']} and is {new['datatype']}; add an output under another name"
