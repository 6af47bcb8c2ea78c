"""`make e2e` ends with a table, and a skip that nobody agreed to is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_table import agreed_skips

TESTS = Path(__file__).parents[1]
CONFTEST = """
import pytest
from pathlib import Path
from e2e_table import E2eTable
def pytest_configure(config):
    config.addinivalue_line("markers", "e2e: here")
    config.pluginmanager.register(E2eTable(Path(__file__).with_name("skips.txt")))
"""
MODULE = """
import pytest
def test_passes(): pass
def test_wants_a_server(): pytest.skip("no server here")
"""


def _run(folder: Path, agreed: str, module: str = MODULE) -> subprocess.CompletedProcess[str]:
    e2e = folder / "tests/e2e"
    e2e.mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (e2e / "conftest.py").write_text(CONFTEST)
    (e2e / "skips.txt").write_text(agreed)
    (e2e / "test_parts.py").write_text(module)
    environment = os.environ | {"PYTHONPATH": str(TESTS / "shared"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _row(text: str, name: str) -> list[str]:
    """Passed, failed and skipped of a line of the table."""
    return next(line.split()[1:4] for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_skip_that_is_not_agreed_fails_the_run(tmp_path: Path) -> None:
    ended = _run(tmp_path, "")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "SKIP NOT AGREED: tests/e2e/test_parts.py::test_wants_a_server: no server here" in ended.stdout
    assert _row(ended.stdout, "tests/e2e/test_parts.py") == _row(ended.stdout, "all") == ["1", "0", "1"]


def test_an_agreed_skip_passes(tmp_path: Path) -> None:
    ended = _run(tmp_path, "tests/e2e/test_parts.py::test_wants_*  # nobody has that server\n")
    assert ended.returncode == pytest.ExitCode.OK, ended.stdout
    assert "skip agreed" in ended.stdout


def test_a_whole_file_that_is_skipped_counts(tmp_path: Path) -> None:
    module = "import pytest\npytest.skip('nothing here', allow_module_level=True)\n"
    ended = _run(tmp_path, "", module + MODULE)
    assert "SKIP NOT AGREED: tests/e2e/test_parts.py: nothing here" in ended.stdout
    assert ended.returncode != pytest.ExitCode.OK


def test_a_failure_stays_a_failure(tmp_path: Path) -> None:
    ended = _run(tmp_path, "*  # all\n", MODULE + "def test_fails(): assert 0\n")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert _row(ended.stdout, "all") == ["1", "1", "1"]


def test_an_agreed_skip_needs_a_reason(tmp_path: Path) -> None:
    (tmp_path / "skips.txt").write_text("# a comment\ntests/e2e/test_parts.py::*\n")
    with pytest.raises(ValueError, match="says no reason"):
        agreed_skips(tmp_path / "skips.txt")
