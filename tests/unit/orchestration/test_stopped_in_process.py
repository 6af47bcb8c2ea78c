"""A run in process killed or interrupted at a random instant: it stores nothing, so a rerun finds nothing half done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SEED = 11
CRM = Path(sys.executable).with_name("crm")
CONFIG = """\
service: slow
package: slow_repo
owner: team@example.com
tier: 3
environments: [local]
columns: {id: row_id, time: at, label: is_bad, entities: [customer_id]}
"""
PIPELINES = '''\
"""Three steps of half a second."""

import time
from typing import final

from carrental_mlops.core import Pipeline, Step, step


class Begin(Step):
    @final
    def run(self) -> int:
        time.sleep(0.5)
        return 1


class Go(Step):
    @final
    def run(self, *, number: int) -> int:
        time.sleep(0.5)
        return number + 1


class Slow(Pipeline):
    name = "slow"
    begin = step(Begin)
    middle = step(Go)
    end = step(Go)

    def build(self) -> None:
        self.end.run(number=self.middle.run(number=self.begin.run()))
'''


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "slow_repo"
    package.mkdir(parents=True)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "crm.yaml").write_text(CONFIG)
    (package / "__init__.py").write_text("")
    (package / "pipelines.py").write_text(PIPELINES)
    return tmp_path


def _stopped(repo: Path, number: signal.Signals, after_s: float) -> tuple[int, str]:
    """Exit code and stderr of a run that got `number` so long after its first step was told."""
    process = subprocess.Popen(
        [CRM, "run", "slow", "--engine", "local"], cwd=repo, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "begin" in first
    time.sleep(after_s)
    os.killpg(process.pid, number)
    rest = process.communicate(timeout=60)[1]
    return process.returncode, first + rest


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_run_ends_at_once_and_a_rerun_goes_through(repo: Path, number: signal.Signals) -> None:
    chance = random.Random(SEED)
    for _ in range(2 if number is signal.SIGKILL else 1):
        after_s = chance.uniform(0, 0.8)
        code, said = _stopped(repo, number, after_s)
        assert code == (-signal.SIGKILL if number is signal.SIGKILL else 130), f"{after_s:.2f} s: {said}"
        assert "Traceback" not in said
        assert not (repo / ".crm").exists()
    done = subprocess.run([CRM, "run", "slow", "--engine", "local"], cwd=repo, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
