"""Every console block of every page runs, in order, in a fresh folder, and prints what the page says.

A line that starts with `$ ` is a command and the `> ` lines below it go on with it; the lines below, up to the next
command, must appear in its output in that order (`…` stands for any text; a page need not quote everything). A block
that cannot run says why in the line above it, starting with `Not run by the tests:`. Pages in SLOW train models and run
with `make e2e`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOW = {"docs/tutorial.md", "README.md"}
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```console\n(?P<body>.*?)```", re.S)


@dataclass(frozen=True)
class Command:
    line: str
    expected: tuple[str, ...]


def commands(page: Path) -> list[Command]:
    """The commands of a page that run, with what each must print."""
    found: list[Command] = []
    for block in BLOCK.finditer("\n" + page.read_text(encoding="utf-8")):
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


def run_page(page: Path, folder: Path) -> None:
    script_env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    here = folder
    for command in commands(page):
        shell = f'{command.line}\nstatus=$?\npwd > "{folder}/.pwd"\nexit $status'
        done = subprocess.run(
            ["bash", "-c", shell],
            cwd=here,
            env=script_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        output = done.stdout
        assert done.returncode == 0, f"{page.name}: $ {command.line}\nexit {done.returncode}\n{output}"
        absent = missing(output, command.expected)
        assert absent is None, f"{page.name}: $ {command.line}\ndoes not print: {absent}\nprinted:\n{output}"
        here = Path((folder / ".pwd").read_text().strip())


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=str(p.relative_to(ROOT)), marks=[pytest.mark.e2e] * (str(p.relative_to(ROOT)) in SLOW))
        for p in PAGES
        if commands(p)
    ],
)
def test_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# Wrong\n\n```console\n$ echo one\ntwo\n```\n")
    with pytest.raises(AssertionError, match="does not print: two"):
        run_page(page, tmp_path)


def test_an_excused_block_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "excused.md"
    page.write_text("# Excused\n\nNot run by the tests: needs a cluster.\n\n```console\n$ false\n```\n")
    assert commands(page) == []


def test_a_command_goes_on_over_the_lines_that_continue_it(tmp_path: Path) -> None:
    page = tmp_path / "long.md"
    page.write_text("# Long\n\n```console\n$ cat <<'END'\n> one\n>\n>     two\n> END\none\ntwo\n```\n")
    assert [c.line for c in commands(page)] == ["cat <<'END'\none\n\n    two\nEND"]
    run_page(page, tmp_path)
