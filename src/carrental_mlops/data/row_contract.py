"""The row contract: one pydantic model a repo, for the frame check and for the service's request check alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class RowContract(BaseModel):
    """Base of a repo's `schema.py`: what a row and a request must look like.

    A value that is missing counts as None however it is written (None, NaN, NaT), so a field that may be missing is
    declared `float | None = None`. Infinity is refused. Columns that the contract does not name are left alone.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _missing_is_none(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: None if _missing(value) else value for name, value in values.items()}


def _missing(value: Any) -> bool:
    if type(value).__name__ in ("NaTType", "NAType"):
        return True
    return value is None or (isinstance(value, float) and value != value)


def has_own_validators(contract: type[BaseModel]) -> bool:
    """True where the contract checks more than each field by its type and bounds, so it must be asked row by row."""
    found = contract.__pydantic_decorators__
    own = [d for d in found.model_validators.values() if d.cls_var_name != "_missing_is_none"]
    return bool(own or found.field_validators or found.validators or found.root_validators)
