"""Load tests that go wrong: the service or k6 ends, answers are no answers; and rows of a generated repo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crm_process import fraud_repo
from loadtest_running import Running, crm, loadtest_repo

pytestmark = pytest.mark.e2e
SMALL = "steps.ingest.source=sim://fraud?rows=3000&days=90"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return loadtest_repo(tmp_path / "repo")


@pytest.fixture
def service() -> Iterator[Running]:
    running = Running.start()
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def children(pid: int) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in told.stdout.split()]


def test_a_service_that_ends_while_it_is_loaded_fails(service: Running, repo: Path) -> None:
    timer = threading.Timer(9, service.process.kill)
    timer.start()
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl", "--duration", "14s", "--json")
    timer.join()
    assert done.returncode == 5
    told = json.loads(done.stdout)
    assert {"200", "no answer"} <= set(told["statuses"])
    assert 0 < told["steps"][0]["error_rate"] < 1
    assert any("the service was gone" in reason for reason in told["reasons"])


def test_a_killed_k6_fails_and_still_leaves_a_report(service: Running, repo: Path) -> None:
    from loadtest_running import CRM

    command = [str(CRM), "loadtest", service.url, "--rows", "payments.jsonl", "--duration", "20s", "--json"]
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not (found := children(running.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        os.kill(found[0], signal.SIGKILL)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 5
    told = json.loads(out)
    assert any("killed by signal 9" in reason for reason in told["reasons"])
    assert "was not shown to be held" in Path(told["report"]).read_text()


def test_a_generated_repo_is_loaded_with_rows_of_its_own_source(tmp_path: Path) -> None:
    repo = fraud_repo(tmp_path)
    running = Running.start("night-watch", str(repo / "src"), "night_watch.schema:Payment")
    try:
        running.wait_until_ready()
        slo = ("--set", "slo.p99_ms=200", "--set", "slo.rps=50", "--set", "slo.error_rate=0.01")
        done = crm(repo, "loadtest", running.url, "--set", SMALL, *slo, "--json")
        told = json.loads(done.stdout)
        assert told["rows"] == {"source": "sampled from the repo's source (`validate`), 500 of them in turn",
                                "made_up": False}  # fmt: skip
        assert set(told["statuses"]) == {"200"}
        done = crm(repo, "loadtest", running.url, "--set", "steps.ingest.source=gone.parquet", *slo, "--json")
        told = json.loads(done.stdout)
        assert told["rows"]["made_up"]
        assert set(told["statuses"]) == {"200"}
        assert "rows are made up" in done.stderr
    finally:
        running.stop()


def test_a_stall_is_seen_by_every_request_that_was_due_in_it(service: Running, repo: Path) -> None:
    """2 s of 14: a tool that waits for an answer before it asks again would see one slow request in hundreds."""
    stop = threading.Timer(9, lambda: service.process.send_signal(signal.SIGSTOP))
    go_on = threading.Timer(11, lambda: service.process.send_signal(signal.SIGCONT))
    stop.start()
    go_on.start()
    arguments = ("--rows", "payments.jsonl", "--duration", "14s", "--rps", "100", "--json")
    told = json.loads(crm(repo, "loadtest", service.url, *arguments).stdout)
    go_on.join()
    (step,) = told["steps"]
    assert step["sent"] >= 1_390
    assert step["p95_ms"] > 500


def test_arrivals_that_nobody_is_free_to_send_fail(service: Running, repo: Path) -> None:
    """The service is stopped by a signal and goes on later: requests wait, and those that are due are dropped."""
    stop = threading.Timer(8, lambda: service.process.send_signal(signal.SIGSTOP))
    go_on = threading.Timer(12, lambda: service.process.send_signal(signal.SIGCONT))
    stop.start()
    go_on.start()
    arguments = ("--rows", "payments.jsonl", "--duration", "14s", "--rps", "200", "--set", "slo.p99_ms=100", "--json")
    done = crm(repo, "loadtest", service.url, *arguments)
    go_on.join()
    assert done.returncode == 5
    told = json.loads(done.stdout)
    assert told["steps"][0]["dropped"] > 0
    assert any("were due and not sent" in reason for reason in told["reasons"])


def test_answers_that_refuse_the_rows_are_errors(service: Running, repo: Path, tmp_path: Path) -> None:
    rows = tmp_path / "wrong.jsonl"
    rows.write_text('{"customer_id": 7, "paid_at": "2026-03-01T10:30:00Z", "amount_eur": -5}\n')
    done = crm(repo, "loadtest", service.url, "--rows", str(rows), "--json")
    assert done.returncode == 5
    told = json.loads(done.stdout)
    assert set(told["statuses"]) == {"422"}
    assert told["steps"][0]["error_rate"] == 1
    assert told["held_rps"] is None


def test_an_answer_without_the_id_that_was_sent_is_an_error(service: Running, repo: Path) -> None:
    """The service is real; what it is sent has no room for the id, which k6 then misses."""
    from carrental_mlops.loadtest.k6 import find_k6, run_k6
    from carrental_mlops.loadtest.rows import bodies, from_file
    from carrental_mlops.loadtest.scenario import Limits, scenario_of
    from carrental_mlops.loadtest.target import target_at
    from carrental_mlops.loadtest.verdict import judge

    target = target_at(service.url, "payments")
    scenario = scenario_of("smoke", Limits(2_000, 50, 0.01), 1)
    twice = [f'"id":"another",{body}' for body in bodies(from_file(repo / "payments.jsonl"), target.fields)]
    run = run_k6(find_k6(), scenario, target, "t", twice)
    assert set(run.statuses) == {"200, but not the answer asked for"}
    assert not judge(scenario, run).passed


def test_settings_of_k6_in_the_environment_change_nothing(service: Running, repo: Path) -> None:
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl", "--json", K6_VUS="1", K6_ITERATIONS="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"][0]["good"] > 100
    assert "K6_VUS" not in os.environ
