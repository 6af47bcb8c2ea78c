"""The page docs/tutorial-upgrade.md, run with real wheels of two versions of this package.

Both are built by uv from copies of this checkout: 1.0.0 with a renamed argument of a hook, a renamed managed file and a
changed one; 0.1.0 with a mistake in a default step, which 1.0.0 does not have. The team's environment is a venv of its
own, in which uv installs one wheel and then the other; what they depend on comes from the environment of the tests,
which stands behind the venv on the path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from console_pages import Command, commands, run_page

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial-upgrade.md"
OLD, NEW = "0.1.0", "1.0.0"
PACKAGED = ("src", "templates", "steps", "requirements", "helm", "terraform")
TEMPLATE = "templates/_base/{{cookiecutter.name}}"
SEARCH = "    best = int(np.argmin(np.where(allowed, cost, np.inf)))\n"
SEARCH_THAT_STOPS_EARLY = """\
    steps = np.flatnonzero(allowed)
    dearer = np.flatnonzero(np.diff(cost[steps]) > 0)
    best = int(steps[dearer[0]] if len(dearer) else steps[-1])
"""
NEWS = f"""\
## {NEW}

### Fixed
- The threshold is the cheapest of all; the search stopped before the first that was dearer than the one before it.

### Hook
- `EvaluateStep.metrics` gets `probability` where it got `scores`: `crm upgrade --fix` renames it.

### Changed
- `tests/test_contracts.py` of a repo is `tests/test_promises.py`; `make test` refuses markers that nobody declared.

## {OLD}
"""


def copied(folder: Path, version: str) -> Path:
    """This checkout as far as its wheel needs it, as that version."""
    for part in PACKAGED:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".crm"))
    for file in ("pyproject.toml", "README.md", "CHANGELOG.md", "hatch_build.py"):
        shutil.copy(ROOT / file, folder)
    replaced(folder, "src/carrental_mlops/__init__.py", (r'^__version__ = ".*"', f'__version__ = "{version}"'))
    return folder


def replaced(folder: Path, file: str, *edits: tuple[str, str]) -> None:
    """Each pattern replaced in a file, once and surely."""
    text = (folder / file).read_text(encoding="utf-8")
    for pattern, new in edits:
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count == 1, (file, pattern, count)
    (folder / file).write_text(text, encoding="utf-8")


def old_version(folder: Path) -> Path:
    """The mistake: the search for a threshold ends at the first that costs more than the one before."""
    replaced(
        copied(folder, OLD), "src/carrental_mlops/steps/threshold.py", (re.escape(SEARCH), SEARCH_THAT_STOPS_EARLY)
    )
    return folder


def new_version(folder: Path) -> Path:
    """Today's code with a hook's argument renamed, as a maintainer does it, and two managed files changed."""
    copied(folder, NEW)
    replaced(
        folder,
        "src/carrental_mlops/steps/evaluate.py",
        (r"(?<=def metrics\(self, \*, rows: pd.DataFrame, )scores", "probability"),
        (r"(?<=^            )scores: \(n,\) probability\.$", "probability: (n,) of the label."),
        (r"(?<=call\(self.metrics, rows=test, )scores", "probability"),
    )
    replaced(
        folder, "src/carrental_mlops/testing/hook_cases.py", (r'(?<="metrics", rows=_rows, )scores(?==)', "probability")
    )
    change = 'renamed_argument("EvaluateStep.metrics", "scores", "probability", since="1.0")'
    replaced(
        folder,
        "src/carrental_mlops/core/deprecated.py",
        (r"(?<=^CHANGES: tuple\[Change, \.\.\.\] = \()", f"\n    {change},\n"),
    )
    replaced(folder, "CHANGELOG.md", (r"\A(?s:.*?)^## .*$", f"# Changelog\n\n{NEWS.rstrip()}"))
    tests = folder / TEMPLATE / "tests"
    (tests / "test_contracts.py").rename(tests / "test_promises.py")
    replaced(folder, f"{TEMPLATE}/Makefile", (r"@pytest -q$", "@pytest -q --strict-markers"))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """A team's machine: an empty venv, an index with the two wheels, a cache of its own.

    Returns:
        Variables of a shell on it.
    """
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).is_file():
        pytest.skip("needs uv")
    wheels, venv = folder / "wheels", folder / "venv"
    for source in (old_version(folder / "old"), new_version(folder / "new")):
        subprocess.run([uv, "build", "--wheel", "--quiet", "--out-dir", wheels, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
    (own / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    index = folder / "uv.toml"
    index.write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheels))}]\n[pip]\nno-deps = true\n")
    person = {f"GIT_{who}_{what}": "team" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return person | {
        "PATH": f"{venv / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "UV_CONFIG_FILE": str(index),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }


class Story:
    """What the test asks beside the page: after some of its commands, in the team's repo."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.repo, self.env = folder / "fraud-refunds", {**os.environ, **env}
        self.seen: list[str] = []

    def told(self, command: Command, seconds: float) -> None:
        """After each command of the page."""
        print(f"{seconds:6.1f} s  {command.line.splitlines()[0]}")  # noqa: T201 - read with pytest -s
        if command.line.startswith("crm upgrade --check"):
            self.seen.append("check")
            self.five_things()
        elif command.line == "crm upgrade":
            self.seen.append("upgrade")
            self.merged()
        elif command.line.startswith("crm runs diff"):
            self.seen.append("runs")
            self.better()

    def five_things(self) -> None:
        """Place, hook, both signatures, what goes wrong, what mends it; and nothing is written yet."""
        code, said = self.crm("upgrade", "--check", "--json")
        (finding,) = [f for f in said["findings"] if f["verdict"] != "fine"]
        signature = (
            "metrics(self, *, rows: pd.DataFrame, {}: NDArray[np.float64], threshold: float) -> Mapping[str, float]"
        )
        line = self.text("src/fraud_refunds/steps.py").splitlines()[13]
        assert (code, said["blocking"], line.split("(")[0].split()) == (1, 1, ["def", "metrics"])
        assert finding["place"] == "src/fraud_refunds/steps.py:14"
        assert finding["hook"] == "EvaluateStep.metrics"
        assert finding["old_signature"] == signature.format("scores")
        assert finding["new_signature"] == signature.format("probability")
        assert finding["otherwise"].startswith("every `crm` command that imports the repo stops with OverrideError: ")
        assert "\n" not in finding["otherwise"]
        assert finding["mend"] == "crm upgrade --fix"
        assert self.git("status", "--porcelain") == ""

    def merged(self) -> None:
        """One clean commit holds the team's edits and the template's changes; the report is kept."""
        assert self.git("status", "--porcelain") == ""
        assert self.git("rev-list", "--count", "HEAD") == "4"
        record = json.loads(self.text(".crm.json"))
        assert (record["version"], "tests/test_promises.py" in record["files"]) == (NEW, True)
        assert not (self.repo / "tests/test_contracts.py").exists()
        for file, edit, change in (
            (
                "Makefile",
                "retrain: setup ## train and register\n\t@crm run training\n",
                "@pytest -q --strict-markers\n",
            ),
            ("Dockerfile.pipelines", " PYTHONUNBUFFERED=1 TZ=Europe/Berlin\n", f"carrental-mlops=={NEW}\n"),
            ("tests/test_promises.py", "\n\ndef test_the_money_that_is_caught_is_measured(", ""),
            ("pyproject.toml", "", f"carrental-mlops[pipelines]~={NEW}"),
        ):
            assert edit in self.text(file) and change in self.text(file), file
        report = self.text(f".crm/reports/upgrade-{OLD}-{NEW}.md")
        assert report.startswith(f"# Upgrade carrental-mlops {OLD} to {NEW}\n")
        assert "\n## crm check: " in report and re.search(r"\n- tests: [1-9]\d* held, 0 failed\n", report)
        assert self.crm("upgrade", "--check") == (0, f"already on {NEW}\n")

    def better(self) -> None:
        """The fix, and it alone, in the figures of the two runs."""
        now, before = (run["metrics"] for run in self.crm("runs", "list", "--limit", "2", "--json")[1])
        differ = {name.partition(".")[0] for name in now.keys() & before.keys() if now[name] != before[name]}
        assert differ == {"threshold", "evaluate"}
        assert now["evaluate.average_precision"] == before["evaluate.average_precision"]
        assert now["evaluate.cost_eur_per_1000"] < before["evaluate.cost_eur_per_1000"] / 2
        assert now["evaluate.money_caught"] > 10 * before["evaluate.money_caught"]

    def crm(self, *arguments: str) -> tuple[int, Any]:
        """Exit code and what stdout says, as JSON where that was asked for."""
        command = shutil.which("crm", path=self.env["PATH"])
        assert command is not None
        done = subprocess.run([command, *arguments], cwd=self.repo, env=self.env, stdout=subprocess.PIPE, check=False)
        return done.returncode, json.loads(done.stdout) if "--json" in arguments else done.stdout.decode()

    def git(self, *arguments: str) -> str:
        """What git says."""
        return subprocess.run(
            ["git", *arguments], cwd=self.repo, stdout=subprocess.PIPE, check=True
        ).stdout.decode().strip()  # fmt: skip

    def text(self, file: str) -> str:
        """A file of the repo."""
        return (self.repo / file).read_text(encoding="utf-8")


def test_the_page_tells_of_an_upgrade_from_the_first_command_to_better_figures(tmp_path: Path) -> None:
    env = environment(tmp_path)
    teams = tmp_path / "team"
    teams.mkdir()
    story = Story(teams, env)
    assert f"uv pip install --quiet 'carrental-mlops=={OLD}'" == commands(PAGE)[0].line
    run_page(PAGE, teams, env, story.told)
    assert story.seen == ["check", "upgrade", "runs"]
