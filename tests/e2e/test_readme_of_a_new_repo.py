"""A new data scientist with an empty home and a built wheel: every command of the new repo's README, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KEPT = ("UV_CACHE_DIR", "UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "TMPDIR")

pytestmark = pytest.mark.e2e


def commands(readme: str) -> list[str]:
    """What stands in the right column of its table."""
    rows = re.findall(r"^\| [^|]+ \| (`.+`) \|$", readme, flags=re.M)
    return [command for row in rows for command in re.findall(r"`([^`]+)`", row)]


def _serves(repo: Path, env: dict[str, str]) -> None:
    """`crm serve` becomes ready, and ends well when it is told to."""
    service = subprocess.Popen(["crm", "serve"], cwd=repo, env=env, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 600  # it makes its own environment first
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:8080/v2/health/ready", timeout=5):
                    break
            except OSError:
                assert service.poll() is None and time.monotonic() < until, service.communicate(timeout=5)
                time.sleep(0.5)
        service.terminate()
        assert service.wait(60) == 0
    finally:
        service.kill()
        service.wait()


def test_every_command_of_the_readme_works_as_written(tmp_path: Path) -> None:
    home, dist = tmp_path / "home", tmp_path / "dist"
    home.mkdir()
    subprocess.run([BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", dist], cwd=ROOT, check=True)
    (wheel,) = dist.glob("*.whl")
    subprocess.run([BIN / "crm", "new", "--no-input", "--name", "newcomer"], cwd=tmp_path, check=True)
    repo = tmp_path / "newcomer"
    base = Path(sys.base_prefix) / "bin"
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {
        "HOME": str(home),
        "CRM": str(wheel),
        "PATH": f"{repo}/.venv/bin:{base}:/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }

    named = commands((repo / "README.md").read_text())
    assert {"make test", "make lint", "crm run training", "crm hooks", "crm doctor"} <= set(named)
    for command in ["make setup", *named]:
        if command == "crm serve":
            _serves(repo, env)
            continue
        done = subprocess.run(command.split(), cwd=repo, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    listed = ["git", "status", "--porcelain"]
    changed = subprocess.run(listed, cwd=repo, capture_output=True, text=True, check=True).stdout.split()[1::2]
    assert changed == ["src/newcomer/steps.py"], "only the override that the README asks for"
    assert not (repo / "mlruns").exists()
