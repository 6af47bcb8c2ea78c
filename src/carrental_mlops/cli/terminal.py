"""What `crm` writes: results on stdout, progress on stderr, colours on a terminal only."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from carrental_mlops.core.runner import StepOutcome

_CODES = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "dim": 2, "bold": 1}
_MARKS = {"completed": ("✓", "green"), "cached": ("=", "cyan"), "failed": ("✗", "red")}


def colour(text: str, name: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where `stream` (default stdout) is a terminal and NO_COLOR is not set."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m"


def columns() -> int | None:
    """Width of the terminal that stdout is; None for a pipe or a file, where lines stay whole."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_json(value: Any) -> None:
    """`value` as indented JSON on stdout; what JSON lacks is written as text."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned by spaces, the last one free."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for n, line in enumerate([list(head), *lines]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        typer.echo(colour(text, "dim") if n == 0 else text)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """What steps log goes to stderr alone: ZenML's root handler writes to stdout, which belongs to `--json`."""
    log, handler = logging.getLogger("carrental_mlops"), logging.StreamHandler(sys.stderr)
    before, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = before


class Progress:
    """One line a step on stderr: mark, name, seconds; a step that runs shows its name on a terminal."""

    def __init__(self, slots: Iterable[str]) -> None:
        names = list(slots)
        self._width = max(map(len, names), default=0)
        self._live, self._running = sys.stderr.isatty(), ""

    def __call__(self, slot: str, outcome: StepOutcome | None) -> None:
        """Take an engine's news: `outcome` is None when `slot` starts."""
        if outcome is None:
            self._running = slot
            if self._live:
                sys.stderr.write(f"  {slot} …")
                sys.stderr.flush()
            return
        self._running = ""
        self._write(slot, outcome.status, outcome.seconds)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running and kind is not None:
            self._write(self._running, "failed", None)

    def _write(self, slot: str, status: str, seconds: float | None) -> None:
        mark, name = _MARKS[status]
        took = "" if seconds is None else f"{seconds:8.2f} s"
        note = f"  {status}" if status != "completed" else ""
        start = "\r\x1b[K" if self._live else ""
        line = f"{start}{colour(mark, name, sys.stderr)} {slot.ljust(self._width)}{took}{note}"
        sys.stderr.write(line.rstrip() + "\n")
        sys.stderr.flush()
