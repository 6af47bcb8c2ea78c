"""Real k6 against a real service: what passes, what is missed, and what is left on disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from loadtest_running import Running, crm


def test_a_service_that_holds_its_slo_passes_and_leaves_whole_reports(service: Running, repo: Path) -> None:
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl", "--json", CRM_LOADTEST_TOKEN="s3cret-token")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (step,) = told["steps"]
    assert told["passed"]
    assert (told["model"]["version"], told["model"]["digest"]) == ("3", "d" * 64)
    assert step["good"] == step["sent"] >= 149
    assert 0 < step["p50_ms"] <= step["p99_ms"] <= 2_000
    assert set(told["statuses"]) == {"200"}
    assert 0 < told["service_cpu_ms_per_request"] < 100
    folder = Path(told["report"]).parent
    assert folder.parent == repo / ".crm" / "loadtests"
    assert {p.name for p in folder.iterdir()} == {"report.html", "junit.xml", "summary.json", "scenario.js"}
    assert "s3cret-token" not in "".join(p.read_text() for p in folder.iterdir())
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 2
    assert not re.search(r"(?:src|href)\s*=|url\(|@import", page)
    for text in ("The SLO was held.", "d" * 64, "payments.jsonl", "load average", "shared this machine"):
        assert text in page


def test_a_missed_p99_exits_5_and_fails_its_junit_case(service: Running, repo: Path) -> None:
    out = repo / "reports"
    arguments = ("loadtest", service.url, "--rows", "payments.jsonl", "--out", str(out), "--set", "slo.p99_ms=0.01")
    done = crm(repo, *arguments)
    assert done.returncode == 5
    assert "0.01 ms allowed" in done.stderr
    suites = ElementTree.parse(out / "junit.xml").getroot()
    cases = {f"{c.get('classname')}.{c.get('name')}": c.find("failure") for c in suites.iter("testcase")}
    assert cases["payments.smoke.step_1.p99_ms"] is not None
    assert cases["payments.smoke.run.k6"] is None
    failed = [c for c in cases.values() if c is not None]
    assert (int(suites.get("tests", "")), int(suites.get("failures", ""))) == (len(cases), len(failed))


def test_no_service_is_a_platform_error(repo: Path) -> None:
    done = crm(repo, "loadtest", "http://127.0.0.1:9", "--rows", "payments.jsonl")
    assert done.returncode == 3
    assert "no service at http://127.0.0.1:9" in done.stderr
    assert not (repo / ".crm" / "loadtests").exists()


def test_another_model_than_the_repos_is_said(service: Running, repo: Path) -> None:
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl", "--set", "service=rentals")
    assert done.returncode == 1
    assert "no such model" in done.stderr


def test_a_k6_that_is_not_there_is_a_platform_error(service: Running, repo: Path) -> None:
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl", CRM_K6=str(repo / "none"))
    assert done.returncode == 3
    assert "CRM_K6" in done.stderr


def test_a_class_without_a_latency_has_nothing_to_test(service: Running, repo: Path) -> None:
    (repo / "config" / "crm.yaml").write_text(
        (repo / "config" / "crm.yaml").read_text().replace("near-real-time", "batch").replace("p99_ms: 2000, ", "")
    )
    done = crm(repo, "loadtest", service.url, "--rows", "payments.jsonl")
    assert done.returncode == 1
    assert "promises no p99_ms" in done.stderr


def test_a_dry_run_prints_the_script_and_sends_nothing(repo: Path) -> None:
    done = crm(repo, "loadtest", "http://127.0.0.1:9", "--profile", "load", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "constant-arrival-rate" in done.stdout
    assert "ramping-arrival-rate" in done.stdout
    assert '"p(99)<=2000"' in done.stdout
    assert not (repo / ".crm").exists()
