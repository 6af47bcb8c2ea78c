"""A step's fingerprint changes with the code, values, config and inputs it reaches, and with nothing else."""

import os
import subprocess
import sys
import types
import warnings
from pathlib import Path
from sys import modules as known
from typing import Any

import pytest

from carrental_mlops.core import Step, StepConfig
from carrental_mlops.core.fingerprint import fingerprint

BASE = """
from typing import final
from carrental_mlops.core import Step, StepConfig, call, hook

class BaseStep(Step):
    @final
    def run(self, *, rows: int) -> float:
        return call(self.fit, rows=rows) + self._shift()

    @hook(since="0.1", returns="a float")
    def fit(self, *, rows: int) -> float:
        return 1.0

    def _shift(self) -> float:
        return 0.0
"""
STEPS = '''
"""Steps."""
from functools import partial, wraps
from pathlib import Path
from sys import modules as known
from typing import ClassVar

from team import tables
from team.base import BaseStep
from team.features import FEATURES, Features
from team.helpers import first, make

HERE = Path(__file__).parent
NAMES = {"b", "a", "c", "zeta", "omega"}
LIMIT = 3
half = partial(first, share=0.5)
closed = make(7)

def logged(method):
    @wraps(method)
    def inner(self, *, rows):
        return method(self, rows=rows) * tables.weigh(rows)
    return inner

class TeamStep(BaseStep):
    """A step."""

    feature_set: ClassVar[type] = Features
    floor = LIMIT * 2

    @logged
    def fit(self, *, rows: int) -> float:
        """Fits."""
        from team.lazy import late

        def nested(x: int) -> float:
            return half(x) + closed(x)  # adds

        key = lambda n: n + len(NAMES)
        return nested(rows) + key(rows) + late(rows) + len(FEATURES) + len(str(HERE))
'''
HELPERS = """
import math
from team import deep

def first(x, share=1.0, *, plus=0):
    return second(x) * share + plus

def second(x):
    return math.sqrt(deep.third(x))

def make(n):
    def inner(x):
        return x + n
    return inner
"""
FILES = {
    "__init__.py": "",
    "base.py": BASE,
    "steps.py": STEPS,
    "tables.py": "def weigh(rows):\n    return 2\n\ndef unrelated(rows):\n    return 3\n",
    "features.py": "class Feature:\n    def __init__(self, name):\n        self.name = name\n\n"
    "FEATURES = [Feature('a'), Feature('b')]\n\nclass Features:\n    stored = ('x',)\n\n"
    "    def compute(self, columns):\n        return columns\n",
    "helpers.py": HELPERS,
    "deep.py": "def third(x):\n    return x\n",
    "lazy.py": "def late(x):\n    return 1\n\ndef later(x):\n    return 2\n",
}
ASK = """
import sys
import types
import warnings
from carrental_mlops.core.fingerprint import fingerprint
for folder in sys.argv[1:]:
    for name in [n for n in sys.modules if n.partition('.')[0] == 'team']:
        del sys.modules[name]
    sys.path.insert(0, folder)
    from team.steps import TeamStep
    print(fingerprint(TeamStep))
    sys.path.remove(folder)
"""
CHANGES = {
    "a fix in a base class": ("base.py", "return 0.0", "return 0.5"),
    "a helper called": ("helpers.py", "return second(x)", "return 2 * second(x)"),
    "a helper two calls away": ("helpers.py", "math.sqrt(", "math.log("),
    "a helper three calls away in another module": ("deep.py", "return x", "return x + 1"),
    "a function through a module": ("tables.py", "return 2", "return 4"),
    "a function imported inside the hook": ("lazy.py", "return 1", "return 4"),
    "a constant": ("steps.py", '"omega"', '"psi"'),
    "a constant read in the class body": ("steps.py", "LIMIT = 3", "LIMIT = 4"),
    "a partial's argument": ("steps.py", "share=0.5", "share=0.6"),
    "a closure's cell": ("steps.py", "make(7)", "make(8)"),
    "a decorator": ("steps.py", "* tables", "+ tables"),
    "a default argument": ("helpers.py", "plus=0", "plus=1"),
    "a nested function": ("steps.py", "half(x) + closed(x)", "half(x) - closed(x)"),
    "a lambda": ("steps.py", "n + len(NAMES)", "n - len(NAMES)"),
    "a class attribute": ("steps.py", "LIMIT * 2", "LIMIT * 5"),
    "the feature set's data": ("features.py", "('x',)", "('y',)"),
    "the feature set's code": ("features.py", "return columns", "return dict(columns)"),
    "an object that a constant holds": ("features.py", "Feature('b')", "Feature('c')"),
}
SAME = {
    "an edit to an unrelated function": ("tables.py", "return 3", "return 33"),
    "an edit to an unrelated function of a lazily imported module": ("lazy.py", "return 2", "return 22"),
    "a comment": ("steps.py", "# adds", "# adds both"),
    "a docstring of the hook": ("steps.py", '"""Fits."""', '"""Fits well."""'),
    "a docstring of the class": ("steps.py", '"""A step."""', '"""Another."""'),
    "a docstring more": ("helpers.py", "def second(x):\n", 'def second(x):\n    """The root."""\n'),
    "blank lines": ("helpers.py", "def second", "\n\n\ndef second"),
    "layout": ("steps.py", "return nested(rows) +", "return (\n            nested(rows)) +"),
}


def repo(root: Path, change: tuple[str, str, str] | None = None) -> Path:
    package = root / "src" / "team"
    package.mkdir(parents=True)
    for name, text in FILES.items():
        if change and change[0] == name:
            assert change[1] in text
            text = text.replace(change[1], change[2])
        (package / name).write_text(text)
    return root / "src"


def ask(*folders: Path, hash_seed: str = "0") -> list[str]:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run(
        [sys.executable, "-c", ASK, *map(str, folders)], capture_output=True, text=True, env=env, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.split()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cases = {"": None, **CHANGES, **SAME}
    root = tmp_path_factory.mktemp("repos")
    folders = [repo(root / f"repo{n}", change) for n, change in enumerate(cases.values())]
    return dict(zip(cases, ask(*folders), strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with(change: str, answers: dict[str, str]) -> None:
    assert answers[change] != answers[""]


@pytest.mark.parametrize("change", SAME)
def test_fingerprint_does_not_change_with(change: str, answers: dict[str, str]) -> None:
    assert answers[change] == answers[""]


def test_same_repo_in_another_folder_and_under_another_hash_seed_has_the_same_fingerprint(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    for n, seed in enumerate(["1", "2"]):
        assert ask(repo(tmp_path / f"else{n}" / "where"), hash_seed=seed) == [answers[""]]


class LimitConfig(StepConfig):
    limit: float = 1.0
    names: frozenset[str] = frozenset("abc")


class LimitStep(Step):
    config: LimitConfig


def test_config_and_inputs_are_part_of_the_fingerprint() -> None:
    plain = fingerprint(LimitStep, LimitConfig())
    assert plain == fingerprint(LimitStep, LimitConfig(limit=1.0), {})
    assert plain != fingerprint(LimitStep, LimitConfig(limit=2.0))
    assert plain != fingerprint(LimitStep, LimitConfig(), {"rows": "abc"})
    assert fingerprint(LimitStep, None, {"a": "1", "b": "2"}) == fingerprint(LimitStep, None, {"b": "2", "a": "1"})


def test_engine_classes_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from carrental_mlops.core import context

    before = fingerprint(LimitStep)
    monkeypatch.setattr(context.Context, "metric", lambda self, name, value: None)
    assert fingerprint(LimitStep) == before


def test_class_made_without_a_file_has_a_fingerprint_by_its_bytecode() -> None:
    def made(text: str) -> str:
        scope: dict[str, Any] = {"LimitStep": LimitStep, "__name__": "team_made"}
        exec(f"class Team(LimitStep):\n    def _help(self, x):\n{text}", scope)
        return fingerprint(scope["Team"])

    assert made("        return x") == made('        "doc"\n        return x  # why')
    assert made("        return x") != made("        return -x")


HELD = {"by": "us"}


class LooksAround(Step):
    def _loaded(self) -> bool:
        return "xdrlib_of_nobody" in sys.modules or "x" in known or bool(warnings.filters) or "by" in HELD


def test_what_the_interpreter_and_other_packages_hold_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(LooksAround)
    monkeypatch.setitem(sys.modules, "xdrlib_of_nobody", types.ModuleType("xdrlib_of_nobody"))
    monkeypatch.setattr(warnings, "filters", [*warnings.filters, "one more"])
    assert fingerprint(LooksAround) == before
    monkeypatch.setitem(HELD, "by", "them")
    assert fingerprint(LooksAround) != before


def test_what_the_key_covers_is_told_by_definition() -> None:
    from carrental_mlops.core.fingerprint import reached
    from carrental_mlops.steps import SplitStep

    told = reached(SplitStep)
    assert {"carrental_mlops.steps.split:SplitStep", "carrental_mlops.steps.split:SplitStep.run"} <= told.keys()
    assert all(len(digest) == 64 for digest in told.values())
