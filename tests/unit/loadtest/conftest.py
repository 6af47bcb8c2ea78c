"""A real service in a process of its own, and a repo that promises something of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtest_running import Running, loadtest_repo


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A model repo with a lenient SLO and `payments.jsonl`."""
    return loadtest_repo(tmp_path / "repo")


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """One service that every test of the file may load."""
    running = Running.start()
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()
