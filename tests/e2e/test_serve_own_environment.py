"""`crm serve` as generated: the service's own environment, stored features by entity id, and a second start."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from background_program import free_port
from crm_process import CRM, SMALL, finished, fraud_repo, training
from service_process import ServiceProcess

from carrental_mlops.serving.audit_log import events

pytestmark = pytest.mark.e2e
log = logging.getLogger(__name__)
HEAVY = ("pandas", "zenml", "feast")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with a champion, and its features in the online store."""
    root = fraud_repo(tmp_path_factory.mktemp("serve"), "night-serve")
    code, told = finished(training(5), root)
    assert code == 0, told.said
    code, told = finished(["run", "features", *(part for value in SMALL for part in ("--set", value))], root)
    assert code == 0, told.said
    return root


@contextmanager
def _serving(repo: Path) -> Iterator[tuple[ServiceProcess, float]]:
    """The ready service, and seconds from the command to ready."""
    began, port = time.monotonic(), free_port()
    process = subprocess.Popen(
        [CRM, "serve", "--set", f"serving.port={port}", "--set", "serving.drain_s=0.5"],
        cwd=repo,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    service = ServiceProcess(process, port)
    try:
        service.wait_ready(580)
        yield service, time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, service.said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _request(customer: int) -> dict[str, Any]:
    row = {
        "payment_id": ("INT64", 1),
        "customer_id": ("INT64", customer),
        "branch_id": ("INT64", 1),
        "paid_at": ("BYTES", "2026-04-01T10:30:00Z"),
        "amount_eur": ("FP64", 641.5),
    }
    inputs = [{"name": n, "datatype": kind, "shape": [1], "data": [value]} for n, (kind, value) in row.items()]
    return {"id": f"customer-{customer}", "inputs": inputs}


def test_the_champion_answers_from_an_environment_of_its_own(repo: Path) -> None:
    stored = pd.read_parquet(repo / ".crm" / "feast" / "customer_history.online.parquet")
    known = int(stored["customer_id"].iloc[0])
    with _serving(repo) as (service, first_s):
        python = repo / ".venvs" / "serving" / "bin" / "python"
        assert str(python) in Path(f"/proc/{service.process.pid}/cmdline").read_text()
        for customer in (known, -1):
            status, told = service.ask("/v2/models/night-serve/infer", _request(customer))
            assert status == 200, told
    for name in HEAVY:
        assert subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode, name
    kept = {event["data"]["request"]: event["data"] for event in events(repo / ".crm" / "audit")}
    assert kept[f"customer-{known}"]["features"]["customer_history__count_30d"] != [None]
    assert kept["customer--1"]["features"]["customer_history__amount_eur_mean_30d"] == [None]
    stamp = repo / ".venvs" / "serving" / ".synced"
    made = stamp.stat().st_mtime_ns
    with _serving(repo) as (_, second_s):
        assert stamp.stat().st_mtime_ns == made
    log.info("ready after %.1f s, then after %.1f s", first_s, second_s)
    assert second_s < first_s
