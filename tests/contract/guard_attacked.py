"""A step that attacks on the guard start from, and what each attack must meet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import final

import pytest

from carrental_mlops.core import Step, StepConfig, call, hook
from carrental_mlops.errors import CrmError


class FitConfig(StepConfig):
    depth: int = 3


class One(Step):
    @final
    def run(self) -> int:
        return 1


class FitStep(Step):
    config: FitConfig

    @final
    def run(self, *, rows: int) -> float:
        return self._scale(call(self.fit, rows=rows))

    @hook(since="0.1", returns="a float")
    def fit(self, *, rows: int) -> float:
        return float(rows)

    def _scale(self, x: float) -> float:
        return x


class Attacks(dict[str, Callable[[], object]]):
    """Attacks by name; decorates the function that is one."""

    def __call__(self, make: Callable[[], object]) -> Callable[[], object]:
        self[make.__name__.strip("_").replace("_", " ")] = make
        return make


def assert_refused_there(make: Callable[[], object]) -> None:
    """Hold that `make` is refused with the file it stands in, a line and the mend."""
    with pytest.raises(CrmError) as refused:
        make()
    place = re.escape(Path(make.__code__.co_filename).name)  # type: ignore[attr-defined]
    assert re.search(rf"{place}:\d+\)", refused.value.what), refused.value.what
    assert refused.value.fix
