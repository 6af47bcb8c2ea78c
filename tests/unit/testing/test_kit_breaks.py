"""Each check of the kit: a class that holds, and one that breaks just that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from carrental_mlops.errors import ConfigError, ContractError
from carrental_mlops.testing import Check, check_pipeline, check_step, checks

STEPS = '''\
"""Steps of a team."""
import importlib
import random
import sys
import time
from typing import Any, NamedTuple, final

import pandas as pd
from foreign_wrapper import hushed
from pydantic import Field

from carrental_mlops.core import Pipeline, Step, StepConfig, step

STARTED = time.time_ns()
KINDS = tuple({f"kind {n}" for n in range(20)})
LINE = sys._getframe().f_lineno


class Number(StepConfig):
    number: int = 3
    """What to return."""


class Hidden(Number):
    number: int = Field(default=3, exclude=True)
    """What to return."""


class Endless(StepConfig):
    most: float = float("inf")
    """At most so many."""


class Make(Step):
    config: Number

    @final
    def run(self) -> int:
        """The number."""
        return self._made() + len("x")

    def _made(self) -> int:
        return self.config.number


class Blind(Make):
    config: Hidden


class Unbounded(Step):
    config: Endless

    @final
    def run(self) -> int:
        return 1


class Timed(Make):
    def _more(self) -> int:
        return STARTED


class Unordered(Make):
    def _more(self) -> int:
        return len(KINDS[0])


class Counted(Make):
    def _more(self) -> int:
        return LINE


class Wrapped(Make):
    @hushed
    def _more(self) -> int:
        return 1


class Handing(Step):
    @final
    def run(self) -> Any:
        return 1


class Opaque:
    pass


class Pickled(Step):
    @final
    def run(self) -> Opaque:
        return Opaque()


class Table(Step):
    @final
    def run(self) -> pd.DataFrame:
        return pd.DataFrame({"amount": [1.0, 2.0]})


class Sum(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        return float(rows["amount"].sum())


class Doubling(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        rows["amount"] = rows["amount"] * 2
        return float(rows["amount"].sum())


class Dice(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        return random.SystemRandom().random()


class Seeded(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        return random.random()


class DiceOnPurpose(Dice):
    cacheable = False


class ByText(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> float:
        return getattr(importlib.import_module("kit_team." + "formula"), "formula")(2.0)


class Lossy:
    """Keeps nothing of what it holds beyond its name."""

    def __init__(self, value: int) -> None:
        self.value = value

    def save(self, folder: Any) -> None:
        (folder / "value").write_text(str(self.value))

    @classmethod
    def load(cls, folder: Any) -> "Lossy":
        return cls(0)


class Losing(Step):
    @final
    def run(self, *, rows: pd.DataFrame) -> Lossy:
        return Lossy(7)


class Summing(Pipeline):
    name = "summing"
    table = step(Table)
    total = step(Sum)

    def build(self) -> None:
        self.total.run(rows=self.table.run())
'''
PIPELINES = '\n'.join(
    f'''

class {name}Pipeline(Pipeline):
    name = "{name.lower()}"
    table = step(Table)
    total = step({name})

    def build(self) -> None:
        self.total.run(rows=self.table.run())
'''
    for name in ("Doubling", "Dice", "Seeded", "DiceOnPurpose", "ByText", "Losing")
)  # fmt: skip
FOREIGN = """\
def hushed(function):
    def inner(self, *args, **kwargs):
        return function(self, *args, **kwargs)
    return inner
"""
CONFIG = """\
service: team
package: kit_team
owner: a@example.com
tier: 3
columns: {id: a, time: b, label: c, entities: []}
slo: {p99_ms: 1, rps: 1, error_rate: 0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("team")
    package = root / "src" / "kit_team"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "pipelines.py").write_text(STEPS + PIPELINES)
    (package / "formula.py").write_text("def formula(x):\n    return 3 * x\n")
    (root / "foreign_wrapper.py").write_text(FOREIGN)
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(CONFIG)
    return root


@pytest.fixture(scope="module")
def team(folder: Path) -> Iterator[ModuleType]:
    sys.path[:0] = [str(folder / "src"), str(folder)]
    import kit_team.pipelines

    yield kit_team.pipelines
    sys.path[:] = [path for path in sys.path if path not in (str(folder / "src"), str(folder))]
    for name in [n for n in sys.modules if n.partition(".")[0] in ("kit_team", "foreign_wrapper")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["Make", "Table", "Sum"])
def test_a_step_that_holds(team: ModuleType, name: str) -> None:
    check_step(getattr(team, name))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Blind", r"`Blind` \(.*pipelines.py:\d+\) keeps its cache key when the setting `number` changes"),
        ("Unbounded", r"`Unbounded` \(.*pipelines.py:\d+\): Endless is not the same after a trip through JSON"),
        (
            "Timed",
            r"`Timed` \(.*pipelines.py:\d+\) has another cache key in another process: `kit_team.*:Timed._more`",
        ),
        ("Unordered", r"`Unordered` .* has another cache key in another process"),
        (
            "Counted",
            r"`Counted` .* has another cache key once its code is laid out otherwise: `kit_team.*:Counted._more`",
        ),
        ("Wrapped", r"`Wrapped` .* keeps its cache key when Wrapped._more \(.*pipelines.py:\d+\) changes"),
        ("Pickled", r"`Pickled` \(.*pipelines.py:\d+\), output `output`: a Opaque cannot be handed .* without pickle"),
    ],
)
def test_a_step_that_breaks_one_check_is_told_which_where_and_how_to_mend_it(
    team: ModuleType, name: str, says: str
) -> None:
    with pytest.raises(ContractError, match=says) as refused:
        check_step(getattr(team, name))
    assert refused.value.fix
    broken = [str(check) for check in checks(getattr(team, name)) if _breaks(check)]
    assert len(broken) == 1, broken


def test_a_quick_check_starts_no_process(team: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("a process was started"))
    check_step(team.Timed, quick=True)
    check_pipeline(team.Summing, quick=True)


def test_a_pipeline_that_holds_on_data(team: ModuleType, folder: Path) -> None:
    check_pipeline(team.Summing, folder)
    check_pipeline(team.SeededPipeline, folder)
    check_pipeline(team.DiceOnPurposePipeline, folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Doubling", r"`Doubling` \(.*pipelines.py:\d+\) changed its input `rows` in place"),
        ("Dice", r"`Dice` \(.*pipelines.py:\d+\): output `output` differs when the step runs again"),
        (
            "ByText",
            r"`ByText` \(.*pipelines.py:\d+\) ran `kit_team.formula:formula`, which its cache key does not cover",
        ),
        ("Losing", r"`Losing` \(.*pipelines.py:\d+\): output `output` is not the same once it was kept and read back"),
    ],
)
def test_a_step_that_breaks_one_check_on_data_is_told_which(
    team: ModuleType, folder: Path, name: str, says: str
) -> None:
    with pytest.raises(ContractError, match=says):
        check_pipeline(getattr(team, f"{name}Pipeline"), folder)


def test_what_is_nothing_to_check_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"checks\(int\) names nothing to check"):
        checks(int)


def test_each_check_is_a_test_of_its_own_with_a_name(team: ModuleType) -> None:
    found = checks(team.Summing, team.Sum)
    assert len({str(check) for check in found}) == len(found)
    assert "Sum: describes its settings" in map(str, found)


def _breaks(check: Callable[[], None] | Check) -> bool:
    try:
        check()
    except ContractError:
        return True
    return False
