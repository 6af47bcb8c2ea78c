"""Small steps that the ZenML tests run, importable from a fresh process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NewType, final

import pandas as pd

from carrental_mlops.core import Pipeline, Step, StepConfig, call, hook, step

Rows = NewType("Rows", pd.DataFrame)
CALLS: list[str] = []


class Thing:
    """An object that keeps itself in a folder."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def save(self, folder: Path) -> None:
        (folder / "nested").mkdir(parents=True)
        (folder / "nested" / "thing.json").write_text(json.dumps({"weight": self.weight}))

    @classmethod
    def load(cls, folder: Path) -> Thing:
        return cls(json.loads((folder / "nested" / "thing.json").read_text())["weight"])


@dataclass(frozen=True)
class Worth:
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


class Halves(NamedTuple):
    low: Rows
    high: Rows


class MakeConfig(StepConfig):
    rows: int = 10


class Make(Step):
    config: MakeConfig

    @final
    def run(self) -> Rows:
        CALLS.append("make")
        self.context.metric("rows", self.config.rows)
        self.context.param("source", "made up")
        at = pd.date_range("2026-01-01", periods=self.config.rows, tz="UTC")
        return Rows(
            pd.DataFrame({"n": range(self.config.rows), "at": at}, index=[f"r{i}" for i in range(self.config.rows)])
        )


class Cut(Step):
    @final
    def run(self, *, rows: Rows) -> Halves:
        CALLS.append("cut")
        half = len(rows) // 2
        return Halves(Rows(rows.iloc[:half]), Rows(rows.iloc[half:]))


class Weigh(Step):
    @final
    def run(self, *, low: Rows, high: Rows) -> Thing:
        CALLS.append("weigh")
        return Thing(call(self.weight, rows=low) + len(high))

    @hook(since="0.1", returns="a weight")
    def weight(self, *, rows: pd.DataFrame) -> float:
        return float(len(rows))


class Judge(Step):
    cacheable = False

    @final
    def run(self, *, thing: Thing, rows: Rows) -> Worth:
        CALLS.append("judge")
        self.context.metric("weight", thing.weight)
        self.context.artefact("page.html").write_text("<p>well</p>")
        return Worth({"weight": thing.weight, "nan": float("nan")}, ("a", self.context.service))


class Tiny(Pipeline):
    """Four steps."""

    name = "tiny"
    make = step(Make)
    cut = step(Cut)
    weigh = step(Weigh)
    judge = step(Judge)

    def build(self) -> None:
        rows = self.make.run()
        halves = self.cut.run(rows=rows)
        thing = self.weigh.run(low=halves.low, high=halves.high)
        self.judge.run(thing=thing, rows=rows)


class Heavier(Weigh):
    def weight(self, *, rows: pd.DataFrame) -> float:
        return super().weight(rows=rows) * 10


class HeavyTiny(Tiny):
    weigh = step(Heavier)
