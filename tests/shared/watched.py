"""A service whose rules, runbook and dashboard tests look at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.config import RepoConfig


def config(**changes: Any) -> RepoConfig:
    """Of a service of tier 1 with stored features and a sink of its audit; `changes` replace whole sections."""
    return RepoConfig.model_validate(
        {
            "service": "payments",
            "package": "payments_repo",
            "owner": "risk-ds@example.com",
            "tier": 1,
            "columns": {"id": "payment_id", "time": "paid_at", "label": "is_fraud", "entities": ["customer_id"]},
            "latency_class": "real-time",
            "slo": {"p99_ms": 150, "rps": 200, "error_rate": 0.001},
            "serving": {"audit": {"sink": "https://collector.example.com/events"}},
            **changes,
        }
    )


def tool(name: str) -> str:
    """Path of promtool or amtool; the test is skipped where there is none."""
    path = shutil.which(name)
    if path is None:
        package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[name]
        pytest.skip(f"{name} is not here: apt-get install {package}")
    return path


def said(name: str, *arguments: str | Path) -> str:
    """What the tool says; it must end well."""
    done = subprocess.run([tool(name), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
