"""A SIGKILL leaves no run that stands as RUNNING once the next one has begun, in MLflow or in ZenML."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import final

import pytest

from carrental_mlops.core import Context, Pipeline, Step, step
from carrental_mlops.integrations.mlflow import runs
from carrental_mlops.orchestration import zenml

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
KILLED = """\
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_zenml_killed as here
here.zenml.run(here.Waiting, {}, here.Context(service="svc", root=Path(sys.argv[1])))
"""


class Wait(Step):
    """Waits to be killed the first time."""

    @final
    def run(self) -> int:
        begun = self.context.root / "begun"
        if not begun.exists():
            begun.touch()
            time.sleep(120)
        return 1


class Waiting(Pipeline):
    name = "waiting"
    wait = step(Wait)

    def build(self) -> None:
        self.wait.run()


def test_the_next_run_closes_what_a_kill_left_open(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 120
        while not (tmp_path / "begun").exists():
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    done = zenml.run(Waiting, {}, Context(service="svc", root=tmp_path))
    assert done.load("wait") == 1
    from zenml.client import Client

    found = {r.name: (str(r.status), [str(s.status) for s in r.steps.values()]) for r in Client().list_pipeline_runs()}
    assert found.pop(done.run_id) == ("completed", ["completed"])
    assert list(found.values()) == [("failed", ["failed"])]
    assert sorted(r.status for r in runs(done.urls["mlflow"], "svc")) == ["FINISHED", "KILLED"]
