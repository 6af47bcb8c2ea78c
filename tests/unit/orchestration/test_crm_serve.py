"""`crm serve` on a registry with a champion: whose model answers, and what is said when none can."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from background_program import free_port
from service_process import INFER, PAYMENT, ServiceProcess, bundle, service_repo

from carrental_mlops.core.repo import ModelRepo, open_repo
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.integrations.mlflow_registry import registry_for
from carrental_mlops.orchestration.service import bundle_at, make_bundle

CRM = Path(sys.executable).with_name("crm")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo whose registry has one version, the champion, and a second that is not."""
    folder = tmp_path_factory.mktemp("serve")
    root = service_repo(folder / "repo")
    registry = registry_for(open_repo(root).context())
    for version in ("1", "2"):
        made = bundle(folder / version, version)
        (made / "bundle.json").unlink()
        registry.register(made, _digest(made), f"run-{version}", {}, {})
    assert registry.promote("1", expected=None)
    return root


@pytest.fixture
def repo(root: Path) -> ModelRepo:
    return open_repo(root)


def _digest(folder: Path) -> str:
    from carrental_mlops.files import file_digest

    return file_digest(folder / "model.json")


def _serve(root: Path, port: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [CRM, "serve", "--here", "--set", f"serving.port={port}", *more],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def _ended(root: Path, port: int, *more: str) -> tuple[int, str]:
    process = _serve(root, port, *more)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_the_champion_answers_and_goes_on_when_the_registry_is_gone(root: Path) -> None:
    process = _serve(root, port := free_port())
    service = ServiceProcess(process, port)
    database = root / ".crm" / "mlflow.db"
    try:
        service.wait_ready()
        database.rename(away := database.with_suffix(".away"))
        try:
            status, told = service.ask(INFER, PAYMENT)
            assert status == 200 and b'"model_version":"1"' in told
            assert service.ask("/v2/health/ready")[0] == 200
        finally:
            away.rename(database)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, service.said
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_leaves_nothing(repo: ModelRepo) -> None:
    fetched = str(make_bundle(repo).folder)
    process = _serve(repo.root, port := free_port(), "--bundle", fetched, "--set", "serving.workers=2")
    service = ServiceProcess(process, port)
    try:
        service.wait_ready()
        workers = service.workers()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        assert len(workers) == 2
        assert process.returncode in (0, 130), service.said
        assert "Traceback" not in service.said
        assert not [w for w in workers if _runs(w)]
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_taken_port_is_told(repo: ModelRepo) -> None:
    fetched = str(make_bundle(repo).folder)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = _ended(repo.root, port, "--bundle", fetched)
    assert code == 3, said
    assert f"127.0.0.1:{port} cannot be listened on" in said and "Fix: " in said and "Traceback" not in said


def test_another_version_is_served_when_asked_for(repo: ModelRepo) -> None:
    assert make_bundle(repo).identity.version == "1"
    assert make_bundle(repo, "2").identity.version == "2"
    with pytest.raises(ConfigError, match=r"has no version 9[\s\S]*choose one of: 2, 1"):
        make_bundle(repo, "9")


def test_what_was_fetched_is_used_again_and_what_was_changed_is_fetched_again(repo: ModelRepo) -> None:
    first = make_bundle(repo)
    model = first.folder / "model.txt"
    whole, before = model.read_bytes(), model.stat().st_mtime_ns
    assert make_bundle(repo) == first
    assert model.stat().st_mtime_ns == before
    model.write_bytes(whole[:-20])
    assert make_bundle(repo) == first
    assert model.read_bytes() == whole


def test_no_champion_names_the_command_that_makes_one(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"others has no champion to serve[\s\S]*crm run training"):
        make_bundle(open_repo(root, None, ("service=others",)))


def test_without_a_registry_the_mend_names_what_was_fetched(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = free_port()
    down = ("--set", f"mlflow.tracking_uri=http://127.0.0.1:{port}")
    code, said = _ended(service_repo(tmp_path / "empty"), free_port(), *down)
    assert code == 3, said
    assert f"error: MLflow at http://127.0.0.1:{port}" in said and "--bundle" not in said
    fetched = make_bundle(open_repo(root)).folder
    code, said = _ended(root, free_port(), *down)
    assert code == 3, said
    assert f"Fix: check the server, then repeat; or crm serve --bundle {fetched.relative_to(root)}" in said
    assert "listens on" not in said and "Traceback" not in said


def test_a_bundle_is_served_without_asking_the_registry(repo: ModelRepo, tmp_path: Path) -> None:
    fetched = make_bundle(repo)
    without = open_repo(service_repo(tmp_path / "without"))
    assert bundle_at(without, fetched.folder).identity == fetched.identity
    assert not (without.root / ".crm").exists()
    with pytest.raises(DataError, match="holds the model of payments, this repo's service is others"):
        bundle_at(open_repo(repo.root, None, ("service=others",)), fetched.folder)


def test_a_changed_model_in_a_bundle_is_refused(root: Path, tmp_path: Path) -> None:
    changed = bundle(tmp_path / "changed")
    (changed / "model.txt").write_text((changed / "model.txt").read_text() + "\n")
    code, said = _ended(root, free_port(), "--bundle", str(changed))
    assert code == 1, said
    assert "model.txt" in said and "Fix: " in said and "Traceback" not in said
