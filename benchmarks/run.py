"""`make bench`: run the benchmarks named on the command line (all by default) and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

from measure import ROOT

HERE = Path(__file__).parent
NAMES = (
    "startup",
    "first_run",
    "step_cost",
    "first_training",
    "historical_join",
    "batch_scoring",
    "serving_http",
    "serving_grpc",
    "serving_online",
)
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Ratios of medians, ours against the peer, taken in turn in one run by `make bench`. Machines are noisy: read the ratio.
A row keeps the date and load of the run that made it, and whether that run reached what it is to reach.

| what | ours | against | peer | ratio | to reach | reached | note |
|---|---|---|---|---|---|---|---|
"""


def dated(row: str, machine: str, name: str) -> str:
    """A benchmark's row with where and when it was taken, and the benchmark that takes it again."""
    cells, _, note = row.rstrip().removesuffix("|").rpartition("|")
    return f"{cells}| {f'{note.strip()} ({machine})'.strip()} <!-- {name} --> |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="default: all")
    names = parser.parse_args().names or NAMES
    kept = PAGE.read_text().splitlines() if PAGE.is_file() else []
    lines = {name: [row for row in kept if row.endswith(f"<!-- {name} --> |")] for name in NAMES}
    for name in names:
        print(f"== {name}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, check=True)
        machine = f"{datetime.date.today()}, {os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}"
        rows = [row for row in done.stdout.splitlines() if row.startswith("| ")]
        lines[name] = [dated(row, machine, name) for row in rows]
        PAGE.write_text(HEAD + "\n".join(row for every in NAMES for row in lines[every]) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
