"""A small model repo of trivial steps, and `crm` called in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from carrental_mlops.cli.main import main

CONFIG = """\
service: tiny-{n}
package: tiny_{n}
owner: team@example.com
tier: 2
environments: [local, prod]
columns:
  id: row_id
  time: at
  label: is_bad
  entities: [customer_id]
steps:
  count: {{upto: 3}}
slo: {{p99_ms: 50, rps: 10, error_rate: 0.01}}
"""
STEPS = '''\
"""Where tiny differs from the defaults."""

from dataclasses import dataclass
from typing import NamedTuple, final

from carrental_mlops.core import Step, StepConfig


class CountConfig(StepConfig):
    upto: int = 5
    """How far to count (rows)."""


class Parts(NamedTuple):
    low: int
    high: int


class Count(Step):
    config: CountConfig

    @final
    def run(self) -> Parts:
        self.context.metric("counted", self.config.upto)
        return Parts(0, self.config.upto)


class Double(Step):
    @final
    def run(self, *, number: int) -> int:
        return 2 * number


class Add(Step):
    @final
    def run(self, *, left: int, right: int) -> int:
        if left > 100:
            raise KeyboardInterrupt
        self.context.metric("total", left + right)
        return left + right
'''
PIPELINES = '''\
"""Which steps tiny runs."""

from carrental_mlops.core import Pipeline, step

from tiny_{n}.steps import Add, Count, Double


class Counting(Pipeline):
    name = "counting"
    count = step(Count)
    double = step(Double)
    add = step(Add)

    def build(self) -> None:
        parts = self.count.run()
        self.add.run(left=self.double.run(number=parts.high), right=parts.low)


class Doubling(Pipeline):
    name = "doubling"
    count = step(Count)
    twice = step(Double)

    def build(self) -> None:
        self.twice.run(number=self.count.run().high)
'''
_numbers = itertools.count()


@dataclass(frozen=True)
class Told:
    """What one call of `crm` said."""

    code: int
    out: str
    err: str


Crm = Callable[..., Told]


@pytest.fixture
def crm(capsys: pytest.CaptureFixture[str]) -> Crm:
    def call(*arguments: str) -> Told:
        try:
            code = main(arguments)
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    return call


@pytest.fixture
def tiny_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    n = next(_numbers)
    root = tmp_path / "tiny"
    package = root / "src" / f"tiny_{n}"
    package.mkdir(parents=True)
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG.format(n=n))
    (root / "config" / "prod.yaml").write_text("steps:\n  count: {upto: 7}\n")
    (package / "__init__.py").write_text("")
    (package / "steps.py").write_text(STEPS)
    (package / "pipelines.py").write_text(PIPELINES.format(n=n))
    monkeypatch.chdir(root)
    return root
