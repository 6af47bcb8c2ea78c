"""`crm run --json` on ZenML in a fresh process and an empty home: stdout is JSON and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CRM = Path(sys.executable).with_name("crm")


@pytest.mark.e2e
def test_stdout_is_json_and_a_step_speaks_on_stderr(tmp_path: Path) -> None:
    new = [CRM, "new", "--template", "fraud-realtime", "--name", "fraud", "--no-input"]
    subprocess.run(new, cwd=tmp_path, check=True, capture_output=True)
    run = [CRM, "run", "training", "--json", "--set", "steps.ingest.source=sim://fraud?rows=12000&days=90"]
    done = subprocess.run(run, cwd=tmp_path / "fraud", capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stderr
    assert len(json.loads(done.stdout)["steps"]) == 14
    assert "register: " in done.stderr
