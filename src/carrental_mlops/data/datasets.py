"""A table as MLflow lists it: digest of the content, size, columns, source."""

from __future__ import annotations

import hashlib

import pandas as pd

from carrental_mlops.core import Dataset


def frame_digest(rows: pd.DataFrame) -> str:
    """sha256 (hex) of columns, dtypes and values in their order, the index left out; equal on every machine."""
    whole = hashlib.sha256()
    for place, name in enumerate(rows.columns):
        column = rows.iloc[:, place]
        whole.update(f"{name}\0{column.dtype}\0".encode())
        whole.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return whole.hexdigest()


def dataset_of(rows: pd.DataFrame, source: str, role: str) -> Dataset:
    """`rows` as a data set of the run.

    Args:
        rows: (n, …).
        source: where they came from, without a password.
        role: what they are for, such as `training`.
    """
    columns = {str(name): str(dtype) for name, dtype in rows.dtypes.items()}
    return Dataset(frame_digest(rows), len(rows), columns, source, role)
