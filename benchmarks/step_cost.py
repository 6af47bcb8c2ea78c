"""Fifty trivial steps: our classes on ZenML and in process, against plain ZenML `@step` functions."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import final

from measure import Row

from carrental_mlops.core import Context, Pipeline, Step, run_in_process, step

STEPS = 50


class One(Step):
    """The number one."""

    @final
    def run(self) -> int:
        return 1


class Increment(Step):
    """One more."""

    @final
    def run(self, *, number: int) -> int:
        return number + 1


def _build(self: Pipeline) -> None:
    number = self.first.run()  # type: ignore[attr-defined]
    for n in range(1, STEPS):
        number = getattr(self, f"more_{n}").run(number=number)


Fifty = type(
    "Fifty",
    (Pipeline,),
    {"__module__": __name__, "name": "fifty", "first": step(One), "build": _build}
    | {f"more_{n}": step(Increment) for n in range(1, STEPS)},
)


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def rows() -> list[Row]:
    from carrental_mlops.orchestration import zenml as engine

    root = Path(tempfile.mkdtemp())
    (root / "config").mkdir()
    os.chdir(root)

    def ours() -> object:
        context = Context(root=root, service="bench", stores=True)
        return engine.run(Fifty, {}, context, engine.RunOptions(enable_cache=False))

    ours()
    from plain_steps import plain

    plain()
    pairs = [(seconds(ours), seconds(plain)) for _ in range(3)]
    on_zenml, by_hand = (statistics.median(side) for side in zip(*pairs, strict=True))
    in_process = statistics.median(seconds(lambda: run_in_process(Fifty)) for _ in range(9))
    return [
        Row("50 trivial steps on ZenML", on_zenml, "plain ZenML `@step`", by_hand, "<= 1.2x"),
        Row("50 trivial steps in process", in_process, "plain ZenML `@step`", by_hand, "<= 0.01x"),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row.markdown())
