"""What every benchmark shares: wall and CPU seconds of a command, medians, and the row it prints with its verdict."""

from __future__ import annotations

import operator
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
_LIMIT = re.compile(r"(<=|>=|<|>) ([\d.]+)( s|x)")
_HOLDS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def verdict(target: str, ratio: float, ours_s: float = float("nan")) -> str:
    """`met`, or `**missed**` in bold.

    Args:
        target: limits after commas, all to be held: of the ratio (`<= 1.1x`) or of ours in seconds (`< 2 s`).
        ratio: as measured.
        ours_s: seconds, for a limit in seconds; without it such a limit is missed.

    Raises:
        ValueError: `target` holds something else.
    """
    limits = [_LIMIT.fullmatch(part) for part in target.split(", ")]
    if not all(limits):
        raise ValueError(f"{target!r} is no target. Fix: write such as `<= 1.1x, < 2 s`")
    held = (_HOLDS[m[1]](ratio if m[3] == "x" else ours_s, float(m[2])) for m in limits if m)
    return "met" if all(held) else "**missed**"


@dataclass(frozen=True)
class Row:
    """One line of docs/benchmarks.md: medians in seconds, `ratio` is ours / peer."""

    what: str
    ours: float
    peer_name: str
    peer: float
    target: str
    note: str = ""

    def markdown(self) -> str:
        ratio = self.ours / self.peer
        return (
            f"| {self.what} | {self.ours:.3g} s | {self.peer_name} | {self.peer:.3g} s "
            f"| {ratio:.3g}x | {self.target} | {verdict(self.target, ratio, self.ours)} | {self.note} |"
        )


def wall(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return seconds


def alternate(ours: Callable[[], float], *peers: Callable[[], float], runs: int) -> list[float]:
    """Medians of `runs` measurements each, taken in turn so that a busy minute hits all alike."""
    taken: list[list[float]] = [[], *([] for _ in peers)]
    for _ in range(runs):
        for samples, measure in zip(taken, (ours, *peers), strict=True):
            samples.append(measure())
    return [statistics.median(samples) for samples in taken]


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process, threads included, for one call."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peers_environment() -> Path:
    """bin/ of `.venvs/peers`, which holds the tools we compare with and nothing of ours."""
    folder = ROOT / ".venvs" / "peers"
    if not (folder / "bin" / "kedro").is_file():
        uv = ROOT / ".tools" / "bin" / "uv"
        wall([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder])
        wall([uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "kedro>=1", "copier>=9", "uv"])
    return folder / "bin"
