from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pandas", "zenml", "mlflow", "feast", "sklearn", "lightgbm"}
CODE = """
import sys
from carrental_mlops.cli.main import main
try:
    main({arguments!r})
except SystemExit as done:
    assert not done.code, done.code
print("loaded:", *sorted({named!r} & set(sys.modules)))
"""


def _loaded(tmp_path: Path, *arguments: str, named: set[str] = HEAVY) -> str:
    code = CODE.format(arguments=arguments, named=named)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("--help",), ("version",), ("new", "--help"), ("steps", "list"), ("hooks",)])
def test_a_command_that_needs_no_data_loads_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert _loaded(tmp_path, *arguments) == "loaded:"


def test_help_loads_neither_pydantic_nor_rich_nor_a_noun(tmp_path: Path) -> None:
    light = {"pydantic", "rich", "yaml", "numpy", "jinja2", "cookiecutter", "carrental_mlops.cli.run"}
    assert _loaded(tmp_path, "--help", named=light) == "loaded:"


def test_new_loads_nothing_heavy(tmp_path: Path) -> None:
    arguments = ("new", "--template", "fraud-realtime", "--no-input")
    assert _loaded(tmp_path, *arguments) == "loaded:"
