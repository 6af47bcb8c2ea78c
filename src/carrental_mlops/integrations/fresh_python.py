"""This Python once more, in a process of its own that finds the same modules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def fresh_python(
    arguments: Sequence[str],
    stdin: str | None = None,
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """What it ended with and printed; it is not said here whether that is good.

    Args:
        arguments: behind `python`.
        stdin: what it reads.
        folder: in which it runs; None: this one.
        more: environment, beside that of this process.
        limit_s: seconds, after which it is killed; None: none.

    Raises:
        subprocess.TimeoutExpired: it took longer than `limit_s`.
    """
    path = os.pathsep.join(place for place in sys.path if place)
    return subprocess.run(  # noqa: S603 - this Python
        [sys.executable, *arguments], input=stdin, cwd=folder, env={**os.environ, "PYTHONPATH": path, **(more or {})},
        capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
