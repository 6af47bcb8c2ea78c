"""One printer of types, for `crm config explain`, the mends of crm.yaml and the step catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from carrental_mlops.config.models import StepOptions
from carrental_mlops.config.type_text import type_text


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | None, "float | None"),
        (dict[str, StepOptions], "dict[str, StepOptions]"),
        (dict[str, dict[str, Any]], "dict[str, dict[str, Any]]"),
        (tuple[str, ...], "tuple[str, ...]"),
        (Literal["a.b", "c"], "Literal['a.b', 'c']"),
        (Annotated[int, Field(gt=0)], "int"),
        (Mapping[str, StepOptions | None], "Mapping[str, StepOptions | None]"),
        (Callable[[int], str], "Callable[[int], str]"),
    ],
)
def test_a_type_is_written_without_modules(annotation: Any, text: str) -> None:
    assert type_text(annotation) == text
