"""The registry on a real SQLite store."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from releases import release

from carrental_mlops.core import Context, Dataset
from carrental_mlops.deploy.releases.evidence import gate_evidence
from carrental_mlops.deploy.releases.store import tag_model
from carrental_mlops.errors import ConfigError, DataError, PlatformError
from carrental_mlops.integrations.mlflow import Registry, Tracker, find_run, registry_for, runs, tracking_uri
from carrental_mlops.integrations.mlflow_client import client_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated store; tests copy it, which also moves it."""
    root = tmp_path_factory.mktemp("store")
    client_for(tracking_uri(root))
    return root / ".crm"


@pytest.fixture
def root(empty_store: Path, tmp_path: Path) -> Path:
    shutil.copytree(empty_store, tmp_path / "repo" / ".crm")
    return tmp_path / "repo"


@pytest.fixture
def registry(root: Path) -> Registry:
    return Registry(tracking_uri(root), "payments")


def _model(root: Path, text: str = "weights") -> Path:
    folder = root / f"model-{text}"
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "deep" / "model.txt").write_text(text)
    return folder


def test_a_registered_model_is_the_challenger_and_nobody_is_champion(registry: Registry, root: Path) -> None:
    version = registry.register(_model(root), "d1", "run-1", {"pipeline": "training"}, {"auc": 0.9})
    found = registry.challenger()
    assert found is not None
    assert (found.version, found.digest, found.run_id) == (version, "d1", "run-1")
    assert found.tags["pipeline"] == "training"
    assert found.metrics == {"auc": 0.9}
    assert registry.champion() is None


def test_a_release_is_written_on_the_version_of_its_model(registry: Registry, root: Path) -> None:
    version = registry.register(_model(root), "d1", "run-1", {"gate": '["met: auc is 0.9"]'}, {})
    tag_model(registry, release("prod-4", version))
    found = registry.version(version)
    assert json.loads(found.tags["crm.release.prod-4"])["image"] == release().image
    gate = gate_evidence(found)
    assert gate is not None and gate.passed and abs((gate.at - datetime.now(UTC)).total_seconds()) < 600
    with pytest.raises(ConfigError, match="no version 9"):
        tag_model(registry, release("prod-4", "9"))


def test_an_empty_registry_has_no_versions(registry: Registry) -> None:
    assert registry.versions() == []
    assert registry.challenger() is None


def test_the_same_model_registered_again_keeps_its_version(registry: Registry, root: Path) -> None:
    first = registry.register(_model(root), "d1", "run-1", {}, {})
    assert registry.register(_model(root), "d1", "run-2", {}, {}) == first
    assert registry.register(_model(root, "other"), "d2", "run-3", {}, {}) != first
    assert [m.digest for m in registry.versions()] == ["d2", "d1"]


def test_promotion_needs_the_champion_that_was_seen(registry: Registry, root: Path) -> None:
    one = registry.register(_model(root), "d1", "r", {}, {})
    two = registry.register(_model(root, "b"), "d2", "r", {}, {})
    assert not registry.promote(one, expected="7")
    assert registry.promote(one, expected=None)
    assert not registry.promote(two, expected=None)
    assert registry.promote(two, expected=one)
    champion = registry.champion()
    assert champion is not None
    assert champion.version == two


def test_an_unknown_version_cannot_be_promoted(registry: Registry, root: Path) -> None:
    registry.register(_model(root), "d1", "r", {}, {})
    with pytest.raises(ConfigError, match="no version 9"):
        registry.promote("9", expected=None)


def _promote(uri: str, version: str) -> bool:
    return Registry(uri, "payments").promote(version, expected=None)


def test_of_two_processes_that_promote_at_once_one_wins(registry: Registry, root: Path) -> None:
    versions = [registry.register(_model(root, t), t, "r", {}, {}) for t in "ab"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        won = pool.starmap(_promote, [(registry.uri, v) for v in versions])
    assert sorted(won) == [False, True]
    champion = registry.champion()
    assert champion is not None
    assert champion.version == versions[won.index(True)]


def test_fetch_gives_the_files_back(registry: Registry, root: Path, tmp_path: Path) -> None:
    version = registry.register(_model(root), "d1", "r", {}, {})
    got = registry.fetch(version, tmp_path / "got")
    assert (got / "deep" / "model.txt").read_text() == "weights"


def test_fetch_refuses_files_that_changed(registry: Registry, root: Path, tmp_path: Path) -> None:
    version = registry.register(_model(root), "d1", "r", {}, {})
    next((root / ".crm" / "mlartifacts").rglob("model.txt")).write_text("poisoned")
    with pytest.raises(DataError, match="is not what was registered"):
        registry.fetch(version, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_moved_repo_keeps_its_models(registry: Registry, root: Path, tmp_path: Path) -> None:
    version = registry.register(_model(root), "d1", "r", {}, {})
    moved = tmp_path / "else where"
    root.rename(moved)
    again = registry_for(Context(root=moved, service="payments"))
    assert (again.fetch(version, tmp_path / "got") / "deep" / "model.txt").read_text() == "weights"


def test_a_registry_that_is_down_is_a_platform_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PlatformError) as caught:
        Registry(f"http://user:secret@127.0.0.1:{port}", "payments").champion()
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_run_keeps_what_its_steps_recorded(root: Path, tmp_path: Path) -> None:
    uri = tracking_uri(root)
    context = Context("run-7", "training", "evaluate", "payments", root=root, seed=3, stores=True)
    context.metric("auc", 0.9)
    context.param("rounds", 60)
    context.dataset("train", Dataset("a" * 64, 10, {"n": "int64"}, "s3://bucket/x", "training"))
    context.artefact("report.html").write_text("<p>well</p>")
    Tracker(uri, "payments", "run-7").start(context)
    tracker = Tracker(uri, "payments", "run-7")
    tracker.record(context)
    tracker.finish()
    [found] = runs(uri, "payments")
    assert (found.run_id, found.status, found.pipeline) == ("run-7", "FINISHED", "training")
    assert found.metrics == {"evaluate.auc": 0.9}
    assert found.params == {"evaluate.rounds": "60"}
    assert found.tags["crm.seed"] == "3"
    assert found.datasets == {"train": "a" * 36}
    assert find_run(uri, "payments", "run-").run_id == "run-7"
    assert [f.path for f in client_for(uri).list_artifacts(found.mlflow_run_id, "evaluate")] == ["evaluate/report.html"]


def test_an_unknown_run_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="0 runs"):
        find_run(tracking_uri(root), "payments", "nope")
