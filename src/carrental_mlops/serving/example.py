"""A request that a service would answer, made from its bounds alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carrental_mlops.serving.signature import Field

_WHEN = "2026-03-01T10:30:00Z"


def example_request(fields: tuple[Field, ...], known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """One row with every required field; None where one has a pattern, for which no text is made up."""
    tensors = []
    for field in fields:
        if field.required:
            told = known.get(field.name, {})
            if "pattern" in told:
                return None
            tensors.append(
                {"name": field.name, "shape": [1], "datatype": field.datatype, "data": [_value(field.datatype, told)]}
            )
    return {"id": "7f0c2a", "inputs": tensors} if tensors else None


def example_response(name: str, version: str) -> dict[str, Any]:
    """One row accepted."""
    data = {"score": ("FP64", 0.031), "decision": ("BYTES", "accept"), "reason": ("BYTES", "")}
    return {
        "model_name": name,
        "model_version": version,
        "id": "7f0c2a",
        "outputs": [{"name": n, "shape": [1], "datatype": kind, "data": [v]} for n, (kind, v) in data.items()],
    }


def _value(datatype: str, told: Mapping[str, Any]) -> Any:
    if "enum" in told or "const" in told:
        return told.get("enum", [told.get("const")])[0]
    if datatype == "BOOL":
        return True
    if datatype == "BYTES":
        text = _WHEN if told.get("format") == "date-time" else "text"
        return text[: told.get("maxLength", len(text))].ljust(told.get("minLength", 0), "x")
    return _number(datatype == "INT64", told)


def _number(whole: bool, told: Mapping[str, Any]) -> float:
    """Within the bounds: in the middle of both, else one beyond the only one, else 1."""
    low = max((told[n] for n in ("minimum", "exclusiveMinimum") if n in told), default=None)
    high = min((told[n] for n in ("maximum", "exclusiveMaximum") if n in told), default=None)
    if low is not None and high is not None:
        found = (low + high) / 2
    elif low is not None:
        found = low + 1
    else:
        found = 1 if high is None else high - 1
    step = told.get("multipleOf")
    found = found // step * step if step else found
    return int(found) if whole else float(found)
