"""A real `mlflow server` on a real PostgreSQL, both of this machine, both stopped at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from background_program import free_port


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh PostgreSQL; skips where it is not installed. Started as root, it runs as user postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "none")]
    if not found[-1].is_file():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder, port = Path(tempfile.mkdtemp(prefix="crm-pg-", dir="/tmp")), free_port()
    as_user: list[str] = []
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    made = subprocess.run(
        [*as_user, found[-1], "-D", folder / "data", "-U", "crm", "-A", "trust", "--no-sync", "-E", "UTF8"],
        cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    server = [found[-1].with_name("postgres"), "-D", folder / "data", "-k", folder, "-p", str(port), "-F"]
    log = (folder / "log").open("w")
    process = subprocess.Popen([*as_user, *server, "-h", "127.0.0.1"], cwd="/", stdout=log, stderr=log)
    try:
        ready = [found[-1].with_name("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        _wait(lambda: subprocess.run(ready, check=False).returncode == 0, process, folder / "log")
        yield f"postgresql://crm@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Server:
    """`mlflow server`, which serves artefacts too; may be stopped and started again under the same address."""

    database: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> None:
        """Begin, and answer before this returns unless told not to wait."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.database, "--workers", "1"),
            *(
                "--artifacts-destination",
                str(self.folder / "artifacts"),
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ),
        ]
        with (self.folder / "log").open("a") as log:
            environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            _wait(self._answers, self.process, self.folder / "log")

    def stop(self) -> None:
        """Kill it and its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A running server on a fresh PostgreSQL."""
    with postgres() as database:
        server = Server(database, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
