from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from carrental_mlops.cli.main import main
from carrental_mlops.errors import ConfigError, ContractError
from carrental_mlops.scaffold.override import plan_override
from carrental_mlops.scaffold.step_cards import read_steps

EVERY_HOOK = [(card["name"], hook["name"]) for card in read_steps() for hook in card["hooks"]]
STEPS = '''\
"""Where this service differs from the defaults. `crm hooks` lists all that may be overridden."""

import numpy as np
from carrental_mlops.steps import TrainConfig, TrainStep


class FraudTrain(TrainStep):
    """Weighs a payment by the money at stake."""

    config: TrainConfig

    def search_space(self):
        return {"max_depth": [int(np.int64(3))]}


LAST = 1
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "src" / "fraud_payments"
    folder.mkdir(parents=True)
    return folder


def _written(package: Path, *arguments: str | None) -> str:
    plan = plan_override(package.parents[1], package.name, *arguments)
    plan.write()
    return (package / "steps.py").read_text()


def _ruff(path: Path) -> str:
    rules = ["--isolated", "--select", "E,F,I,UP", "--line-length", "120"]
    command = [sys.executable, "-m", "ruff", "check", *rules, str(path)]
    done = subprocess.run(command, cwd=path.parents[2], capture_output=True, text=True)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(("step", "hook"), EVERY_HOOK)
def test_every_override_is_python_that_imports_and_passes_ruff(package: Path, step: str, hook: str) -> None:
    text = _written(package, step, hook, "Mine")
    made: dict[str, object] = {"__name__": "fraud_payments.steps"}
    exec(compile(text, "steps.py", "exec", dont_inherit=True), made)  # the guard holds the signature
    assert hook in vars(made["Mine"])
    assert _ruff(package / "steps.py") == ""


def test_every_override_in_one_file_passes_mypy_strict(package: Path) -> None:
    for step, hook in EVERY_HOOK:
        _written(package, step, hook, None)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        str(package / "steps.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert _ruff(package / "steps.py") == ""


def test_a_hook_joins_the_subclass_that_is_there(package: Path) -> None:
    (package / "steps.py").write_text(STEPS)
    text = _written(package, "train", "sample_weight", None)
    assert text.count("class ") == 1 and text.endswith("LAST = 1\n")
    assert "    def sample_weight(" in text and "import pandas as pd\n" in text
    assert _ruff(package / "steps.py") == ""


def test_a_hook_that_is_there_is_refused_with_its_line(package: Path) -> None:
    (package / "steps.py").write_text(STEPS)
    with pytest.raises(ContractError, match=r"steps.py:12: `FraudTrain.search_space` is there already"):
        plan_override(package.parents[1], package.name, "train", "search_space", None)


def test_a_step_with_several_hooks_asks_which(package: Path) -> None:
    with pytest.raises(ConfigError, match="--hook feature_columns or --hook estimator"):
        plan_override(package.parents[1], package.name, "train", None, None)


def test_a_misspelt_hook_names_the_nearest(package: Path) -> None:
    with pytest.raises(ConfigError, match="`sample_weight`"):
        plan_override(package.parents[1], package.name, "train", "sample_weights", None)


def test_a_step_without_hooks_says_so(package: Path) -> None:
    with pytest.raises(ConfigError, match="has no hook"):
        plan_override(package.parents[1], package.name, "gate", None, None)


def test_dry_run_prints_the_change_and_writes_nothing(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = package.parents[1]
    (root / "config").mkdir()
    (root / "config" / "crm.yaml").write_text(
        "service: fraud\npackage: fraud_payments\nowner: a@example.com\ntier: 3\n"
        "columns: {id: a, time: b, label: c, entities: []}\n"
    )
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit):
        main(["steps", "override", "split", "--dry-run"])
    said = capsys.readouterr().out
    assert "+class FraudPaymentsSplit(SplitStep):" in said and "split = step(FraudPaymentsSplit)" in said
    assert not (package / "steps.py").exists()
