"""What runs a repo's code, in processes of their own that get no token of a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.fleet.hosting import without_tokens

_CRM = "import sys; from carrental_mlops.cli.main import main; sys.exit(main(sys.argv[1:]))"
_LONGEST_S = 600
_TOLD = 2000


@dataclass(frozen=True)
class Checked:
    """What `crm check --json` says of a repo."""

    score: int
    blocking: int
    findings: int
    codes: tuple[str, ...]
    """Of its findings, each once, sorted."""
    lines: tuple[str, ...]
    """Of each finding that blocks: code, place and what."""


@dataclass(frozen=True)
class Ran:
    """A command that ran in a repo."""

    code: int | None
    """What it exited with; None where it did not end in time."""
    seconds: float
    said: str
    """The end of what it wrote, stdout and stderr together."""


def crm_check(root: Path) -> Checked:
    """What `crm check` says of the repo at `root`; what it keeps lies in the repo's `.crm/`.

    Raises:
        PlatformError: it did not end in time, or could not look at something.
        ConfigError: it does not know the repo.
    """
    command = [sys.executable, "-c", _CRM, "check", "--json", "--repo", str(root)]
    try:
        done = subprocess.run(  # noqa: S603 - this Python, our command
            command, cwd=root, env=without_tokens(os.environ), capture_output=True, text=True, timeout=_LONGEST_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PlatformError(f"crm check took longer than {_LONGEST_S} s", "crm check in that repo", True) from error
    try:
        told = json.loads(done.stdout)
        blocking = [one for one in told["findings"] if one["blocks"]]
        lines = tuple(f"{one['code']} {one['path'] or ''}: {one['what']}".replace(" :", ":") for one in blocking)
        codes = tuple(sorted({one["code"] for one in told["findings"]}))
        return Checked(told["score"], len(blocking), len(told["findings"]), codes, lines)
    except (ValueError, KeyError, TypeError) as error:
        said = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[0]
        raise ConfigError(f"crm check: {said[:_TOLD]}", f"crm check --repo {root}") from error


def run_in(root: Path, command: Sequence[str], limit_s: float = _LONGEST_S) -> Ran:
    """Run `command` in the folder `root`; no shell.

    Raises:
        ConfigError: there is no such program.
    """
    begun = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - the user's own words
            [*command], cwd=root, env=without_tokens(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=limit_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return Ran(None, time.monotonic() - begun, said[-_TOLD:])
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(f"{command[0]}: {error.strerror}", "name a program that is on the PATH") from error
    return Ran(done.returncode, time.monotonic() - begun, done.stdout.decode(errors="replace")[-_TOLD:])
