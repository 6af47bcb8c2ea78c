"""Rollouts with real traffic: two versions behind HAProxy's weights, 50 requests a second by k6, a real Prometheus."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_running import Mesh, Version, mesh, missing

from carrental_mlops.config.deploy import RolloutPlan
from carrental_mlops.deploy.observe.prometheus import Prometheus
from carrental_mlops.deploy.releases.journal import Journal
from carrental_mlops.deploy.rollout import promotion
from carrental_mlops.deploy.rollout.promotion import Rollout, RolloutOutcome
from carrental_mlops.errors import ConfigError, PlatformError

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(missing()), reason=missing())]
LABELS = {"model": "payments", "namespace": "models"}
THREE_MINUTES = 180


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with mesh(tmp_path_factory.mktemp("mesh")) as started:
        yield started


def rollout(running: Mesh, folder: Path, minutes: float = 3, steps: tuple[int, ...] = (10,)) -> Rollout:
    plan = RolloutPlan(kind="canary", steps=steps, step_minutes=minutes)
    journal = Journal(folder, "releases/", "prod")
    file = folder / "rollout.json"
    return Rollout(file, running.traffic, running.prometheus, LABELS, plan, journal, look_s=2)


def went_back(running: Mesh, folder: Path, outcome: RolloutOutcome) -> str:
    """Why; once nothing is left half-done."""
    assert outcome.state == "rolled_back", outcome
    assert outcome.seconds < THREE_MINUTES
    assert running.traffic.weight() == 0
    assert not (folder / "rollout.json").exists()
    last = Journal(folder, "releases/", "prod").entries()[-1]
    assert (last.kind, last.release, last.by) == ("rollout.rolled_back", "prod-7", "ann")
    return "; ".join(outcome.reasons)


def test_two_percent_more_errors_are_off_within_three_minutes(running: Mesh, tmp_path: Path) -> None:
    with running.canary(Version(failed=0.02)):
        outcome = rollout(running, tmp_path).run("prod-7", "ann")
        assert "more of its answers fail" in went_back(running, tmp_path, outcome)


def test_half_again_the_p99_is_off_within_three_minutes(running: Mesh, tmp_path: Path) -> None:
    with running.canary(Version(seconds=0.03)):
        outcome = rollout(running, tmp_path).run("prod-7", "ann")
        assert "its p99 is" in went_back(running, tmp_path, outcome)


@pytest.mark.parametrize("run", range(3))
def test_a_canary_like_its_champion_is_promoted(running: Mesh, tmp_path: Path, run: int) -> None:
    with running.canary(Version()):
        outcome = rollout(running, tmp_path, minutes=0.5, steps=(25, 50)).run("prod-7", "ann")
        assert outcome.state == "promoted", outcome
        assert running.traffic.weight() == 100
        kinds = [entry.kind for entry in Journal(tmp_path, "releases/", "prod").entries()]
        assert kinds == ["rollout.weight"] * 4 + ["rollout.promoted"]
        running.traffic.set(0)


def test_a_canary_that_crashes_is_off(running: Mesh, tmp_path: Path) -> None:
    with running.canary(Version()) as canary:
        begun = rollout(running, tmp_path, minutes=3)
        begun.say = lambda text: canary.process.send_signal(signal.SIGKILL) if "answers of the canary" in text else None
        assert "does not answer" in went_back(running, tmp_path, begun.run("prod-7", "ann"))


def test_a_killed_rollout_goes_on_where_it_stood_and_another_release_waits(running: Mesh, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[1])\n"
        "from test_canary_traffic import rollout\nfrom mesh_running import Mesh\n"
        "from carrental_mlops.deploy.observe.prometheus import Prometheus\n"
        "from haproxy_traffic import HAProxy\n"
        "m = Mesh(Path('.'), HAProxy(Path(sys.argv[2]), 'payments'), Prometheus(sys.argv[3]), 0)\n"
        "rollout(m, Path(sys.argv[4]), minutes=0.5, steps=(25,)).run('prod-7', 'ann')\n"
    )
    paths = [str(Path(__file__).parent), str(running.traffic.admin), running.prometheus.url, str(tmp_path)]
    with running.canary(Version()):
        first = subprocess.Popen(
            [sys.executable, "-c", script, *paths],
            env={"PYTHONPATH": str(Path(__file__).parents[1] / "shared"), "PATH": "/usr/bin:/usr/sbin"},
        )
        deadline = time.monotonic() + 60
        while running.traffic.weight() != 25:
            assert time.monotonic() < deadline
            assert first.poll() is None
            time.sleep(0.2)
        with pytest.raises(PlatformError, match="held by another process"):
            rollout(running, tmp_path).run("prod-8", "ann")
        time.sleep(6)
        first.kill()
        first.wait()
        with pytest.raises(ConfigError, match=r"prod-7 is at 25 %"):
            rollout(running, tmp_path).run("prod-8", "ann")
        again = time.monotonic()
        outcome = rollout(running, tmp_path, minutes=0.5, steps=(25,)).run("prod-7", "ann")
        assert outcome.state == "promoted"
        assert time.monotonic() - again < 30, "the time before the kill counts"
        running.traffic.set(0)


def test_a_rollout_that_nobody_can_watch_goes_back(
    running: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "_BLIND_S", 5.0)
    with running.canary(Version()):
        blind = rollout(running, tmp_path, steps=(25,))

        def lose_it(text: str) -> None:
            if "left" in text:
                blind.prometheus = Prometheus("http://127.0.0.1:9")

        blind.say = lose_it
        assert "nobody could watch it" in went_back(running, tmp_path, blind.run("prod-7", "ann"))
