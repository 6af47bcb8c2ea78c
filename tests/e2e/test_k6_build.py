"""A k6 with an extension, built by Go. Needs Go and a module proxy that answers; takes minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from loadtest_running import CRM

pytestmark = pytest.mark.e2e
EXTENSION = "github.com/grafana/xk6-sql@v1.0.5"


def _proxy_answers() -> bool:
    proxy = os.environ.get("GOPROXY", "https://proxy.golang.org").split(",")[0]
    try:
        with urllib.request.urlopen(f"{proxy}/go.k6.io/k6/@v/v1.4.2.info", timeout=10):
            return True
    except (OSError, ValueError):
        return False


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go toolchain here")
def test_a_k6_with_an_extension_is_built(tmp_path: Path) -> None:
    if not _proxy_answers():
        pytest.skip("the Go module proxy does not answer here")
    environment = os.environ | {"GOFLAGS": "-modcacherw"}
    command = [str(CRM), "k6", "build", "--with", EXTENSION, "--out", str(tmp_path / "k6")]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3_000, check=False)
    assert built.returncode == 0, built.stderr
    assert "xk6-sql v1.0.5" in built.stdout
    assert os.access(tmp_path / "k6", os.X_OK)
