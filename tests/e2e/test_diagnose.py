"""`crm diagnose` while something is wrong: the first suspect is the cause."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh_running import Mesh, Version, mesh, missing

from carrental_mlops.deploy.releases.journal import Journal

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh(tmp_path_factory.mktemp("mesh"), rps=20) as started:
        time.sleep(45)
        yield started


def page(running: Mesh, since: float, code: int = 0) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("crm")), "diagnose", "payments", "--json"]
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
    told = subprocess.run(
        [*command, "--since", when, "--prometheus", running.prometheus.url],
        cwd=running.folder / "champion",
        capture_output=True,
        text=True,
    )
    assert told.returncode == code, told.stderr
    return dict(json.loads(told.stdout))


def test_nothing_wrong_has_no_suspect(running: Mesh) -> None:
    found = page(running, time.time() - 10)
    assert found["suspects"] == []
    assert {one["name"]: one["now"] for one in found["figures"]}["errors"] == pytest.approx(0, abs=1e-3)


def test_a_canary_that_fails_is_the_first_suspect_and_its_abort_the_next_command(running: Mesh) -> None:
    begun = time.time()
    with running.canary(Version(failed=0.3)):
        running.traffic.set(30)
        journal = Journal(running.folder / "champion", "releases/", "local")
        journal.write("rollout.weight", "ann", "the canary gets 30 %", "local-7")
        time.sleep(20)
        first = page(running, begun)["suspects"][0]
        running.traffic.set(0)
    assert first["what"].startswith("canary: its errors")
    assert first["command"] == "crm promote --to local --abort"


def test_a_switch_that_is_on_is_a_suspect_and_stands_among_the_changes(running: Mesh) -> None:
    repo = running.folder / "champion"
    switch = [str(Path(sys.executable).with_name("crm")), "switch", "payments", "--to", "constant"]
    subprocess.run([*switch, "--reason", "a test", "--until", "1h"], cwd=repo, check=True)
    time.sleep(4)
    found = page(running, time.time() - 30)
    assert "not the model answers but constant: a switch is on" in [one["what"] for one in found["suspects"]]
    assert any("switch.on: constant answers" in one["what"] for one in found["changes"])


def test_without_prometheus_the_page_still_says_what_changed(running: Mesh) -> None:
    away = Mesh(running.folder, running.traffic, type(running.prometheus)("http://127.0.0.1:9"), 0)
    found = page(away, time.time() - 3600, code=3)
    assert "does not answer" in found["unknown"][0]
    assert found["changes"]
