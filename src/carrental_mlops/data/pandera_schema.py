"""The row contract for tools that read pandera."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pydantic import BaseModel

from carrental_mlops.data.row_check import FieldCheck, judge
from carrental_mlops.data.row_contract import has_own_validators


def frame_schema(model: type[BaseModel], unique: str | None = None) -> Any:
    """`model` as a `pandera.DataFrameSchema` that fails the rows that `judge` calls bad.

    Args:
        model: the row contract. One with validators of its own becomes one check of the whole table.
        unique: a column in which every value may stand once.
    """
    import pandera.pandas as pa

    own = has_own_validators(model)
    columns = {}
    for name, info in model.model_fields.items():
        fits = FieldCheck(name, info, model.model_config).fits
        columns[info.alias or name] = pa.Column(
            checks=[] if own else [pa.Check(fits, name=str(info.annotation), ignore_na=False)],
            nullable=True,
            required=info.is_required(),
            unique=name == unique,
        )

    def row_by_row(frame: pd.DataFrame) -> pd.Series[bool]:
        return pd.Series(~judge(model, frame).bad, index=frame.index)

    checks = [pa.Check(row_by_row, name=model.__name__, ignore_na=False)] if own else []
    return pa.DataFrameSchema(columns, checks=checks, name=model.__name__)
