"""Nothing to a first green local run, offline after the cache is warm: new, install, run; against kedro's starter.

Kedro fetches its starter from GitHub. Where that cannot be reached, `KEDRO_STARTERS` names a clone of kedro-starters.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from measure import BIN, ROOT, Row, alternate, peers_environment, wall

UV = ROOT / ".tools" / "bin" / "uv"
_QUIET = {"DO_NOT_TRACK": "1"}
"""Kedro would send usage data, which takes long where it cannot."""
_CLONE = os.environ.get("KEDRO_STARTERS")
_STARTER = str(Path(_CLONE) / "spaceflights-pandas") if _CLONE else "spaceflights-pandas"


def rows(runs: int = 3) -> list[Row]:
    peers = peers_environment()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        warm: list[bool] = []

        def ours() -> float:
            shutil.rmtree(base / "bench", ignore_errors=True)
            new = wall([BIN / "crm", "new", "--template", "fraud-realtime", "--name", "bench", "--no-input"], base)
            python = base / "bench" / ".venv" / "bin" / "python"
            install = wall([UV, "venv", "-q", "--offline", "--python", sys.executable, base / "bench" / ".venv"])
            install += wall(
                [UV, "pip", "sync", "-q", "--offline", "--python", python, ROOT / "requirements" / "pipelines.txt"]
            )
            install += wall([UV, "pip", "install", "-q", "--offline", "--no-deps", "--python", python, ROOT])
            return (
                new + install + wall([python.with_name("crm"), "run", "training", "--engine", "local"], base / "bench")
            )

        def kedro() -> float:
            shutil.rmtree(base / "kedro", ignore_errors=True)
            (base / "kedro").mkdir()
            starter = ["--starter", _STARTER, "--name", "Space Flights"]
            new = wall([peers / "kedro", "new", *starter, "--telemetry", "no"], base / "kedro", _QUIET)
            repo = next(p for p in (base / "kedro").iterdir() if p.is_dir())
            python = repo / ".venv" / "bin" / "python"
            install = wall([UV, "venv", "-q", "--offline", "--python", sys.executable, repo / ".venv"])
            needs = ["--python", python, "-r", repo / "requirements.txt"]
            if not warm:
                wall([UV, "pip", "install", "-q", *needs])
                warm.append(True)
            install += wall([UV, "pip", "install", "-q", "--offline", *needs])
            return new + install + wall([python.with_name("kedro"), "run"], repo, _QUIET)

        kedro()
        mine, peer = alternate(ours, kedro, runs=runs)
    return [Row("nothing to a first green local run", mine, "`kedro new`, install, `kedro run`", peer, "<= 1.0x")]


if __name__ == "__main__":
    for row in rows():
        print(row.markdown())
