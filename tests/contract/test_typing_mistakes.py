"""mypy strict refuses, at the line, what the guard and the wiring refuse at import."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from typing import NamedTuple, NewType, final

from carrental_mlops.core import Pipeline, Step, StepConfig, call, hook, step

RawRows = NewType("RawRows", list[int])
TrainRows = NewType("TrainRows", list[int])


class Split(NamedTuple):
    train: TrainRows
    tune: list[int]


class FitConfig(StepConfig):
    depth: int = 3


class IngestStep(Step):
    @final
    def run(self) -> RawRows:
        return RawRows([1])


class SplitStep(Step):
    @final
    def run(self, *, rows: RawRows) -> Split:
        return Split(TrainRows(rows), rows)


class FitStep(Step):
    config: FitConfig

    @final
    def run(self, *, train: TrainRows, tune: list[int]) -> float:
        return call(self.fit, rows=train) * self.config.depth

    @hook(since="0.1", returns="a float")
    def fit(self, *, rows: list[int]) -> float:
        return float(len(rows))


class Base(Pipeline):
    ingest = step(IngestStep)
    split = step(SplitStep)
    fit = step(FitStep)

    def build(self) -> None:
        parts = self.split.run(rows=self.ingest.run())
        self.fit.run(train=parts.train, tune=parts.tune)


class TeamFit(FitStep):
    def fit(self, *, rows: list[int]) -> float:
        return super().fit(rows=rows) + self.config.depth


class Good(Base):
    fit = step(TeamFit)


class ForgotStep(Base):
    fit = TeamFit  # wrong: assignment


class WrongStep(Base):
    fit = step(SplitStep)  # wrong: assignment|arg-type


class Wired(Base):
    def build(self) -> None:
        raw = self.ingest.run()
        parts = self.split.run(rows=raw)
        self.fit.run(train=raw, tune=raw)  # wrong: arg-type
        self.fit.run(train=parts.trian, tune=parts.tune)  # wrong: attr-defined
        self.fit.run(train=parts.train)  # wrong: call-arg
        self.fit.run(parts.train, tune=parts.tune)  # wrong: misc|call-arg
        self.fitt.run(train=parts.train, tune=parts.tune)  # wrong: attr-defined


class OwnRun(FitStep):
    def run(self, *, train: TrainRows, tune: list[int]) -> float:  # wrong: misc
        return 1.0


class OwnHook(FitStep):
    def fit(self, *, frame: list[int]) -> float:  # wrong: override
        return 1.0


class OwnAnswer(FitStep):
    def fit(self, *, rows: list[int]) -> str:  # wrong: override
        return ""


class AsyncHook(FitStep):
    async def fit(self, *, rows: list[int]) -> float:  # wrong: override
        return 1.0


class UnknownSetting(FitStep):
    def fit(self, *, rows: list[int]) -> float:
        return float(self.config.deepth)  # wrong: attr-defined


class BadCall(FitStep):
    def fit(self, *, rows: list[int]) -> float:
        return call(super().fit, row=rows)  # wrong: call-arg
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_mypy_strict_marks_every_mistake_at_its_line_and_nothing_else(tmp_path: Path) -> None:
    module = tmp_path / "team.py"
    module.write_text(MODULE)
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--python-version", "3.11",
         "--config-file=", "--cache-dir", str(tmp_path / "cache"), str(module)],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    found: dict[int, set[str]] = {}
    for line, code in re.findall(r"team\.py:(\d+): error: .*\[([\w-]+)\]", told.stdout):
        found.setdefault(int(line), set()).add(code)
    expected = {n: marked.split("# wrong: ")[1].split("|") for n, marked in _marked()}
    assert expected.keys() == found.keys(), told.stdout
    assert all(found[n] & set(codes) for n, codes in expected.items()), told.stdout


def _marked() -> list[tuple[int, str]]:
    return [(n, text) for n, text in enumerate(MODULE.splitlines(), start=1) if "# wrong: " in text]
