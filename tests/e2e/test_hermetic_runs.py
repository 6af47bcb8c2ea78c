"""A repo keeps to itself: no home, a folder that cannot be written, two repos at once, one repo twice at once."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from crm_process import CRM, finished, fraud_repo, started, training

from carrental_mlops.data.model import Model
from carrental_mlops.integrations.mlflow import Registry, runs, tracking_uri

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]
_UNSHARE = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def test_a_home_that_cannot_be_written_is_not_needed(tmp_path: Path) -> None:
    repo = fraud_repo(tmp_path)
    code, run = finished(training(10), repo, {"HOME": "/proc/nonexistent"})
    assert code == 0, run.said


def test_a_writable_home_stays_empty(tmp_path: Path) -> None:
    repo, home = fraud_repo(tmp_path), tmp_path / "home"
    home.mkdir()
    code, run = finished(training(10), repo, {"HOME": str(home)})
    assert code == 0, run.said
    assert list(home.rglob("*")) == []


@pytest.mark.skipif(not _UNSHARE, reason="needs unshare -m (root) for a read-only mount")
def test_a_read_only_repo_is_trained_in_process_and_refused_clearly_on_zenml(tmp_path: Path) -> None:
    repo = fraud_repo(tmp_path)

    def read_only(*arguments: str) -> tuple[int, str]:
        folder = shlex.quote(str(repo))
        mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && cd {folder} && "
        with started(["unshare", "-m", "sh", "-c", mount + shlex.join(["exec", str(CRM), *arguments])], repo) as run:
            return run.wait(), run.said

    code, said = read_only(*training(10, "--engine", "local"))
    assert code == 0, said
    assert read_only("config", "validate")[0] == 0
    code, said = read_only(*training(10))
    assert code == 3, said
    assert "Traceback" not in said
    assert "allow writing to it" in said


def test_two_repos_train_at_once_and_neither_sees_the_other(tmp_path: Path) -> None:
    one, two = fraud_repo(tmp_path, "night-watch"), fraud_repo(tmp_path, "day-watch")
    with started(training(10), one) as first, started(training(12), two) as second:
        assert (first.wait(500), second.wait(500)) == (0, 0), first.said + second.said
    for repo in (one, two):
        registry = Registry(tracking_uri(repo), repo.name)
        assert [v.version for v in registry.versions()] == ["1"]
        assert [r.status for r in runs(tracking_uri(repo), repo.name)] == ["FINISHED"]


def test_one_repo_trained_twice_at_once_registers_both_and_has_one_champion(tmp_path: Path) -> None:
    repo = fraud_repo(tmp_path)
    with started(training(10), repo) as first, started(training(12), repo) as second:
        assert (first.wait(500), second.wait(500)) == (0, 0), first.said + second.said
    registry = Registry(tracking_uri(repo), "night-watch")
    versions = registry.versions()
    assert len(versions) == 2
    for version in versions:
        Model.load(registry.fetch(version.version, tmp_path / version.version), version.digest)
    champion = registry.champion()
    assert champion is not None
    assert champion.version in {v.version for v in versions}
    assert {r.status for r in runs(tracking_uri(repo), "night-watch")} == {"FINISHED"}
