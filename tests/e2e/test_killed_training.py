"""A training on ZenML killed with SIGKILL at 20 random instants, each followed by a rerun to its end."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from crm_process import Running, finished, fraud_repo, started, training

from carrental_mlops.data.model import Model
from carrental_mlops.integrations.mlflow import Registry, runs, tracking_uri

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

SEED = 20261121
KILLS = ["fresh"] * 4 + ["any"] * 8 + ["register"] * 8
"""`fresh`: in a repo that never ran; `any`: from the start on; `register`: within a second of the register step."""
UNCACHED = {"champion", "register", "report"}


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line past pytest's capture: instants are to be seen, also of a test that passes."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}")

    return write


def test_twenty_kills_leave_nothing_half_done_and_a_rerun_goes_through(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    tell(f"seed {SEED}")
    repo, whole, trees, missed = tmp_path, 30.0, 96, 0
    for number, kind in enumerate(KILLS):
        if kind == "fresh":
            (tmp_path / str(number)).mkdir()
            repo = fraud_repo(tmp_path / str(number))
        before, trees = _champion(repo), trees - 4
        killed = _killed(repo, trees, kind, chance.uniform(0, 1) * (1.0 if kind == "register" else 0.7 * whole))
        missed += killed.lasted == 0
        between = _champion(repo)
        _hold_registry(repo, tmp_path / f"fetched-{number}-killed")
        again = time.monotonic()
        code, rerun = finished(training(trees), repo)
        whole = time.monotonic() - again
        last = next(reversed(killed.steps), "nothing")
        cached = list(rerun.steps.values()).count("=")
        tell(
            f"{number:2} {kind}: killed after {killed.lasted:.2f} s, last step told {last}; "
            f"rerun {whole:.1f} s, {cached} cached; champion {before} -> {between} -> {_champion(repo)}"
        )
        assert code == 0, rerun.said
        _hold_registry(repo, tmp_path / f"fetched-{number}")
        _hold_lineage(repo)
        stored = [s for s, mark in killed.steps.items() if mark in "✓=" and s != last and s not in UNCACHED]
        if between == before:
            assert {rerun.steps[s] for s in stored} <= {"="}, (stored, rerun.said)
    assert missed <= 2, "runs that ended before their instant came"


def _killed(repo: Path, trees: int, kind: str, after_s: float) -> Running:
    with started(training(trees), repo) as running:
        if kind == "register":
            assert running.wait_for("✓ gate"), running.said
        time.sleep(after_s)
        if running.process.poll() is None:
            running.stop(signal.SIGKILL)
        running.wait()
        return running


def _registry(repo: Path) -> Registry | None:
    """None before MLflow's store is there: to look is not to make it."""
    return Registry(tracking_uri(repo), "night-watch") if (repo / ".crm" / "mlflow.db").is_file() else None


def _champion(repo: Path) -> str | None:
    registry = _registry(repo)
    found = registry.champion() if registry else None
    return found.version if found else None


def _hold_registry(repo: Path, scratch: Path) -> None:
    """Every version is whole and different, and champion and challenger are among them."""
    registry = _registry(repo)
    if registry is None:
        return
    versions = registry.versions()
    assert len({v.digest for v in versions}) == len(versions), versions
    for version in versions:
        folder = registry.fetch(version.version, scratch / version.version)
        Model.load(folder, version.digest)
        assert version.metrics["log_loss"] > 0
    known = {v.version for v in versions}
    for alias in (registry.champion(), registry.challenger()):
        assert alias is None or alias.version in known


def _hold_lineage(repo: Path) -> None:
    """The latest run went through; what it says of its model is what the registry says; the champion is the best."""
    latest, registry = runs(tracking_uri(repo), "night-watch", 1)[0], _registry(repo)
    assert registry is not None
    champion, challenger = registry.champion(), registry.challenger()
    assert latest.status == "FINISHED"
    assert champion is not None
    assert challenger is not None
    of_run = {"champion": champion, "challenger": challenger}[latest.params["register.model_alias"]]
    assert of_run.version == latest.params["register.model_version"]
    assert of_run.digest == latest.params["register.model_digest"]
    best = min(reversed(registry.versions()), key=lambda v: v.metrics["log_loss"])
    assert champion.version == best.version, "a stale champion: all were measured on the same rows"
