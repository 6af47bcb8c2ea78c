"""What a team brings of its own: functions, ZenML steps, faults."""

from __future__ import annotations

from typing import Annotated, final

from zen_tiny_steps import Make, Rows, Thing

from carrental_mlops.core import Pipeline, Step, step
from carrental_mlops.errors import DataError
from carrental_mlops.orchestration.zenml import from_zenml


def doubled(rows: Rows, times: int = 2) -> Rows:
    """Rows with `n` multiplied."""
    return Rows(rows.assign(n=rows["n"] * times))


def parted(rows: Rows) -> tuple[Annotated[int, "size"], Annotated[float, "mean"]]:
    """How many, and their mean."""
    return len(rows), float(rows["n"].mean())


class Told(Step):
    @final
    def run(self, *, size: int, mean: float) -> dict[str, float]:
        return {"size": size, "mean": mean}


class Team(Pipeline):
    name = "team"
    make = step(Make)
    doubled = step(from_zenml(doubled))
    parted = step(from_zenml(parted))
    told = step(Told)

    def build(self) -> None:
        parts = self.parted.run(rows=self.doubled.run(rows=self.make.run()))  # type: ignore[attr-defined]
        self.told.run(size=parts.size, mean=parts.mean)


class Breaks(Step):
    @final
    def run(self, *, rows: Rows) -> Thing:
        raise DataError("column `n` is empty", "look at the data")


class Broken(Pipeline):
    name = "broken"
    make = step(Make)
    breaks = step(Breaks)

    def build(self) -> None:
        self.breaks.run(rows=self.make.run())


class Opaque:
    """Neither plain nor able to save itself."""


class MakesOpaque(Step):
    @final
    def run(self) -> Opaque:
        return Opaque()


class Unkept(Pipeline):
    name = "unkept"
    make = step(MakesOpaque)

    def build(self) -> None:
        self.make.run()
