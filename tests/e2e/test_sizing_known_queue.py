"""The advice is right where the truth is known: a server with a fixed service time holds 1/time requests a second."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carrental_mlops.errors import CrmError
from carrental_mlops.loadtest.rows import Rows
from carrental_mlops.loadtest.scenario import Limits
from carrental_mlops.loadtest.sizing import sizing_of
from carrental_mlops.loadtest.target import Target, target_at
from carrental_mlops.loadtest.tune import Search, write_evidence

pytestmark = pytest.mark.e2e
QUEUE = Path(__file__).parents[1] / "shared" / "known_queue.py"


def _ready(port: int) -> Target:
    for _ in range(200):
        try:
            return target_at(f"http://127.0.0.1:{port}", "queue")
        except CrmError:
            time.sleep(0.1)
    pytest.fail("the queue did not start")


@contextmanager
def queue(seconds: float) -> Iterator[Target]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(QUEUE), str(port), str(seconds)])
    try:
        yield _ready(port)
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("seconds", [0.02, 0.005])
def test_the_knee_of_a_known_queue_is_found_within_15_percent(seconds: float, tmp_path: Path) -> None:
    truth = 1 / seconds
    with queue(seconds) as target:
        search = Search(
            target, Limits(p99_ms=200, rps=truth, error_rate=0.001), Rows([{"x": 1.0}], "one row"), seconds=6
        )
        knee = search.knee()
    assert 0.85 * truth <= knee.held_rps <= 1.15 * truth
    assert 0.85 * truth <= knee.closed_rps <= 1.15 * truth
    sizing = sizing_of(knee, peak_rps=20 * truth, headroom=0.3)
    right = 20 * truth / (0.7 * truth)
    assert 0.85 * right <= sizing.minimum <= 1.15 * right + 1
    assert write_evidence(search, knee, sizing, tmp_path).is_file()
