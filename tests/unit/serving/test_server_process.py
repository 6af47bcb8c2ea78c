"""`python -m carrental_mlops.serving.server`: exit codes, its log, and the memory of a process that answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_process import (
    INFER,
    PAYMENT,
    ServiceProcess,
    Tally,
    answer,
    bundle,
    keep_asking,
    request_bytes,
    running,
    service_repo,
)

_BROKEN = """
    def decide(self, *, scores, columns):
        if columns["amount_eur"][0] == 1:  # the row of the warm-up
            return super().decide(scores=scores, columns=columns)
        raise ValueError(f"cannot decide on {columns['amount_eur']}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("service")
    service_repo(found / "repo")
    service_repo(found / "broken", "\n    note = 1\n")
    bundle(found / "one")
    return found


def _ended(repo: Path, bundled: Path, *pairs: str) -> subprocess.CompletedProcess[str]:
    sets = [text for pair in pairs for text in ("--set", pair)]
    command = [sys.executable, "-m", "carrental_mlops.serving.server", "--repo", str(repo), "--bundle", str(bundled)]
    return subprocess.run([*command, *sets], capture_output=True, text=True, timeout=120, check=False)


def test_what_is_the_users_to_mend_is_told_without_a_traceback(folder: Path, tmp_path: Path) -> None:
    ended = _ended(folder / "repo", tmp_path, "serving.port=0")
    assert ended.returncode == 1
    assert "bundle.json" in ended.stderr
    assert "Fix: crm serve writes it" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_whose_parts_are_not_there_does_not_start(folder: Path, workers: int) -> None:
    pairs = ("serving.port=0", "serving.audit.kind=durable", "serving.audit.folder=/proc/nowhere")
    ended = _ended(folder / "repo", folder / "one", *pairs, f"serving.workers={workers}")
    assert ended.returncode == 3, ended.stderr
    assert "Fix: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = _ended(folder / "repo", folder / "one", f"serving.port={port}")
    assert ended.returncode == 3
    assert f"127.0.0.1:{port} cannot be listened on" in ended.stderr


def test_the_log_is_json_lines_without_a_value_of_a_request(folder: Path, tmp_path: Path) -> None:
    repo = service_repo(tmp_path / "broken", _BROKEN)
    with running(repo, folder / "one") as service:
        status, told = service.ask(INFER, PAYMENT)
        service.process.terminate()
        service.process.wait(30)
    lines = [json.loads(line) for line in service.lines]
    assert (status, json.loads(told)) == (500, {"error": "the service failed; its log has the reason"})
    assert any(line.get("error") and "service.py" in str(line.get("places")) for line in lines), service.said
    assert "120.5" not in service.said
    assert service.process.returncode == 0


def test_ten_thousand_requests_leave_no_memory_behind(folder: Path) -> None:
    async def ask(port: int, count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        payload = request_bytes()
        for _ in range(count // 100):
            writer.write(payload * 100)
            for _ in range(100):
                assert (await answer(reader))[0] == 200
        writer.close()

    with running(folder / "repo", folder / "one") as service:
        asyncio.run(ask(service.port, 2_000))
        before = service.resident_mb()
        asyncio.run(ask(service.port, 10_000))
        grown = service.resident_mb() - before
    assert grown <= 5


def test_workers_end_when_their_parent_is_gone(folder: Path) -> None:
    with running(folder / "repo", folder / "one", ["serving.workers=2", "serving.drain_s=0"]) as service:
        workers = service.workers()
        assert len(workers) == 2
        service.process.kill()
        service.process.wait(10)
        for worker in workers:
            _gone(worker)


def test_a_worker_that_is_told_to_end_takes_nobody_with_it_and_is_replaced(folder: Path) -> None:
    sets = ["serving.workers=2", "serving.drain_s=0.2"]

    async def through(service: ServiceProcess, worker: int) -> Tally:
        stop, tally = asyncio.Event(), Tally()
        callers = [asyncio.create_task(keep_asking(service.port, stop, tally)) for _ in range(4)]
        await asyncio.sleep(0.2)
        os.kill(worker, signal.SIGTERM)
        await asyncio.to_thread(_gone, worker)
        stop.set()
        await asyncio.gather(*callers)
        return tally

    with running(folder / "repo", folder / "one", sets) as service:
        tally = asyncio.run(asyncio.wait_for(through(service, service.workers()[0]), 30))
        assert (tally.lost, set(tally.statuses)) == ([], {200})
        for _ in range(10):
            assert service.ask(INFER, PAYMENT)[0] == 200
        deadline = time.monotonic() + 30
        while len(service.workers()) < 2:
            assert time.monotonic() < deadline, service.said
            time.sleep(0.05)
        service.process.terminate()
        assert service.process.wait(30) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_at_once_with_130(folder: Path, workers: int) -> None:
    with running(folder / "repo", folder / "one", [f"serving.workers={workers}"]) as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(20) == 130


def _gone(number: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            os.kill(number, 0)
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)
