"""A page's console blocks as commands, and a shell that runs them in order.

A line that starts with `$ ` is a command and the `> ` lines below it go on with it; the lines below, up to the next
command, must appear in its output in that order (`…` stands for any text; a page need not quote everything). A block
that cannot run says why in the line above it, starting with `Not run by the tests:`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```console\n(?P<body>.*?)```", re.S)


@dataclass(frozen=True)
class Command:
    """One command and what it must print."""

    line: str
    expected: tuple[str, ...]


def commands(page: Path) -> list[Command]:
    """The commands of a page that run, with what each must print."""
    found: list[Command] = []
    for block in _BLOCK.finditer("\n" + page.read_text(encoding="utf-8")):
        if block["before"].startswith("Not run by the tests:"):
            continue
        for part in re.split(r"^\$ ", block["body"], flags=re.M)[1:]:
            line, *expected = part.rstrip().split("\n")
            while expected and (expected[0] == ">" or expected[0].startswith("> ")):
                line += "\n" + expected.pop(0)[2:]
            found.append(Command(line, tuple(e.strip() for e in expected if e.strip())))
    return found


def missing(output: str, expected: tuple[str, ...]) -> str | None:
    """The first expected line that does not follow the ones before it in `output`."""
    lines = [line.strip() for line in output.splitlines()]
    at = 0
    for wanted in expected:
        pattern = re.compile(".*".join(re.escape(piece) for piece in wanted.split("…")))
        at = next((n + 1 for n in range(at, len(lines)) if pattern.fullmatch(lines[n])), -1)
        if at < 0:
            return wanted
    return None


def run_page(
    page: Path,
    folder: Path,
    more: Mapping[str, str] | None = None,
    told: Callable[[Command, float], None] = lambda command, seconds: None,
    timeout_s: float = 900,
) -> None:
    """Run the page's commands in order, the first one in `folder`.

    Args:
        page: Markdown.
        folder: where to begin.
        more: variables beside those of this process.
        told: called after each command with its wall time (seconds).
        timeout_s: most that one command may take.

    Raises:
        AssertionError: a command failed, or does not print what the page says.
    """
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "120",
        **(more or {}),
    }
    here = folder
    for command in commands(page):
        began = time.monotonic()
        shell = f'{command.line}\nstatus=$?\npwd > "{folder}/.pwd"\nexit $status'
        done = subprocess.run(
            ["bash", "-c", shell], cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        output = done.stdout
        assert done.returncode == 0, f"{page.name}: $ {command.line}\nexit {done.returncode}\n{output}"
        absent = missing(output, command.expected)
        assert absent is None, f"{page.name}: $ {command.line}\ndoes not print: {absent}\nprinted:\n{output}"
        told(command, time.monotonic() - began)
        here = Path((folder / ".pwd").read_text().strip())
