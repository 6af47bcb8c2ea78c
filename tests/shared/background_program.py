"""A program of this machine beside a test: where it is, running until a block ends, answering."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def found(name: str) -> str | None:
    """The program of this name; Debian keeps some where not every user looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(folder: Path, name: str, *command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """`command` until the block ends, with `env` beside this process's own; its output goes to `<name>.log`."""
    with (folder / f"{name}.log").open("wb") as log:
        started = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=os.environ | env)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def answers(
    url: str, seconds: float = 60, started: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    """Wait until `url` answers with any status below 400.

    Args:
        url: what is asked.
        seconds: how long.
        started: waited for no longer once it has ended.
        log: its end is told where nothing answers.

    Raises:
        AssertionError: it does not in time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            gone = started is not None and started.poll() is not None
            said = log.read_text(errors="replace")[-2000:] if log else ""
            assert not gone and time.monotonic() < end, f"{url} does not answer {said}"
            time.sleep(0.1)
