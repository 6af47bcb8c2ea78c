"""A repo really run under an edited copy of this package: imports, contracts, cases of the defaults, its own tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hooked_repo import hooked_repo
from package_versions import SOURCE, edited

from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import dynamic_check, override_report

pytestmark = pytest.mark.e2e
STEPS = """
    import numpy as np
    from carrental_mlops.steps import TrainStep


    class Mine(TrainStep):
        def sample_weight(self, *, rows):
            return rows["amount_eur"].to_numpy() * {factor}
    """
TEST = "from pay{n}.steps import Mine\n\n\ndef test_mine():\n    assert hasattr(Mine, {name!r})\n"


def version(folder: Path, name: str) -> Material:
    root = folder / name
    shutil.copytree(SOURCE, root / "carrental_mlops", ignore=shutil.ignore_patterns("__pycache__"))
    edited(Material(name, root), "__init__.py", ('__version__ = "0.1.0"', f'__version__ = "{name}"'))
    return Material(name, root)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return version(tmp_path_factory.mktemp("old"), "0.1.0")


@pytest.fixture
def stricter(tmp_path: Path) -> Iterator[Material]:
    """A version whose weights must not pass 1."""
    new = version(tmp_path, "0.2.0")
    edited(new, "steps/train.py", ("and weights.sum() > 0", "and weights.sum() > 0 and (weights <= 1).all()"))
    yield new


def team_repo(folder: Path, factor: str, name: str = "sample_weight") -> Path:
    root = hooked_repo(folder / "repo", "pay", STEPS.replace("{factor}", factor), train="Mine")
    (root / "tests").mkdir()
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    (root / "tests" / "test_mine.py").write_text(TEST.format(n="", name=name))
    return root


def listed(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*"))


def test_a_stricter_check_is_proven_by_the_run_and_the_repo_stays_as_it_is(
    old: Material, stricter: Material, tmp_path: Path
) -> None:
    root = team_repo(tmp_path, "0 + 0.5")
    before = listed(root)
    assert [f.verdict for f in override_report.report(root, old, stricter).blocking] == ["unproven"]
    found = dynamic_check.run(root, stricter)
    report = override_report.report(root, old, stricter, found)
    assert (found.problems, found.failed, report.blocking) == ((), (), ())
    assert (found.version, [c.cls for c in found.tests]) == ("0.2.0", ["tests/test_mine.py::test_mine"])
    finding = next(f for f in report.findings if f.hook == "TrainStep.sample_weight")
    assert (finding.verdict, finding.changed) == ("look", ("contract",))
    assert "run under 0.2.0: keeps its contract, answers the same twice" in finding.details
    assert listed(root) == before


def test_an_override_that_the_stricter_check_refuses_blocks_with_its_line(
    old: Material, stricter: Material, tmp_path: Path
) -> None:
    root = team_repo(tmp_path, "2")
    report = override_report.report(root, old, stricter, dynamic_check.run(root, stricter, tests=False))
    (finding,) = report.blocking
    assert (finding.verdict, finding.hook) == ("break", "TrainStep.sample_weight")
    assert "returned weights that are negative, missing, infinite or all zero" in finding.otherwise


def test_a_failing_test_of_the_repo_blocks(old: Material, tmp_path: Path) -> None:
    root = team_repo(tmp_path, "2", name="not_there")
    report = override_report.report(root, old, old, dynamic_check.run(root, old))
    (finding,) = report.blocking
    assert (finding.place, finding.cls) == ("tests/test_mine.py:5", "tests/test_mine.py::test_mine")


def test_a_module_that_the_newer_version_cannot_import_is_told_with_its_line(old: Material, tmp_path: Path) -> None:
    new = version(tmp_path, "0.2.0")
    edited(
        new,
        "steps/train.py",
        ("def sample_weight(self, *, rows: pd.DataFrame)", "def sample_weight(self, *, seed: int)"),
    )
    root = team_repo(tmp_path, "2")
    found = dynamic_check.run(root, new)
    assert {check.cls for check in found.imports} == {"pay.pipelines", "pay.steps"}
    assert found.tests == ()
    report = override_report.report(root, old, new, found)
    assert [(f.hook, f.place) for f in report.blocking] == [("TrainStep.sample_weight", "src/pay/steps.py:6")]


def test_the_time_limit_ends_what_hangs(old: Material, tmp_path: Path) -> None:
    root = team_repo(tmp_path, "2")
    (root / "src/pay/steps.py").write_text("import time\ntime.sleep(600)\n")
    found = dynamic_check.run(root, old, limit_s=5)
    assert found.problems == (
        "contracts and cases: stopped at the time limit",
        "the repo's own tests: stopped at the time limit",
    )
    assert found.seconds < 60


def test_an_environment_that_lacks_what_the_version_needs_is_made_anew(old: Material, tmp_path: Path) -> None:
    if not (shutil.which("uv") or Path(sys.executable).with_name("uv").is_file()):
        pytest.skip("needs uv")
    new = version(tmp_path, "0.2.0")
    info = new.root / "carrental_mlops-0.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: carrental-mlops\nVersion: 0.2.0\nRequires-Dist: iniconfig>=2,<2.1\n")
    pins = new.assets / "requirements" / "repo.txt"
    pins.parent.mkdir(parents=True)
    pins.write_text("iniconfig==2.0.0\npytest\npydantic\npyyaml\nruamel.yaml\n")
    root = team_repo(tmp_path, "2")
    (root / "src/pay/pipelines.py").write_text("")
    (root / "src/pay/steps.py").write_text("import iniconfig\n")
    for name in ("features", "schema", "service"):
        (root / f"src/pay/{name}.py").unlink()
    (root / "tests/test_mine.py").write_text(
        "from importlib.metadata import version\ndef test_it():\n    assert version('iniconfig') == '2.0.0'\n"
    )
    found = dynamic_check.run(root, new)
    assert "a fresh environment" in found.environment
    assert [(c.cls, c.error) for c in found.tests] == [("tests/test_mine.py::test_it", "")], found
