"""Many small files: read in bounded memory, killed at a random instant, read on; `make test` keeps a small sample."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

GIB = 1 << 30
ROWS_A_FILE = 20
CHILD = """
import json, logging, sys, time
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from carrental_mlops.config import Columns
from carrental_mlops.core import Context
from carrental_mlops.steps.ingest import IngestConfig, IngestStep

columns = Columns(id="payment_id", time="paid_at", label="is_fraud", entities=("customer_id",))
context = Context(root=Path(sys.argv[1]), stores=True, step="ingest")
print("reading", flush=True)
started = time.monotonic()
rows = IngestStep(IngestConfig(source="data", columns=columns), context).run()
ids = rows["payment_id"].to_numpy()
print(json.dumps({
    "rows": len(rows), "in_order": bool((ids == range(len(ids))).all()), "dtypes": rows.dtypes.astype(str).to_dict(),
    "amount": float(rows["amount_eur"].sum()), "digest": context.params["data_digest"],
    "seconds": time.monotonic() - started,
    "max_rss": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024,
}))
"""


def write_files(folder: Path, count: int) -> tuple[int, float]:
    """Bytes written and the sum of the amounts; the ids count up from file to file."""
    rng = np.random.default_rng(7)
    head = "payment_id,customer_id,branch_id,paid_at,amount_eur,channel,is_fraud\n"
    size, amount = 0, 0
    for n in range(count):
        if n % 1000 == 0:
            (folder / f"{n // 1000:03d}").mkdir(parents=True)
        cents = rng.integers(1000, 90000, ROWS_A_FILE)
        amount += int(cents.sum())
        first = n * ROWS_A_FILE
        seconds = np.datetime64("2026-01-01T00:00:00") + np.arange(first, first + ROWS_A_FILE)
        times = np.datetime_as_string(seconds, timezone="UTC").tolist()
        lines = [
            f"{i},{i % 5000},{i % 40},{at},{c / 100:.2f},{i % 4},{i % 50 // 49}"
            for i, (c, at) in enumerate(zip(cents.tolist(), times, strict=True), first)
        ]
        size += (folder / f"{n // 1000:03d}" / f"{n:06d}.csv").write_text(head + "\n".join(lines) + "\n")
    return size, amount / 100


def start(root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command, pipe = [sys.executable, "-c", CHILD, str(root)], subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def parts(root: Path) -> list[Path]:
    return sorted(root.glob(".crm/ingest/*/part-*.parquet"))


@pytest.mark.parametrize(("files", "within_s"), [(2_000, 0.3), pytest.param(200_000, 60.0, marks=pytest.mark.e2e)])
def test_killed_and_run_again_every_row_is_there_once_and_memory_stays_bounded(
    tmp_path: Path, files: int, within_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    size, amount = write_files(tmp_path / "data", files)
    assert size < GIB
    seed = random.SystemRandom().randrange(2**32)
    delay = random.Random(seed).uniform(0.0, within_s)
    first = start(tmp_path)
    while not parts(tmp_path):
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    time.sleep(delay)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL, "it ended before it was killed"
    kept = {path: path.stat().st_mtime_ns for path in parts(tmp_path)}

    out, err = start(tmp_path).communicate(timeout=1500)
    assert out, err
    found = json.loads(out.splitlines()[-1])
    with capsys.disabled():
        mib = found["max_rss"] / 2**20
        sys.stdout.write(
            f"\n{files} files, {size / 2**20:.0f} MiB, {found['rows']} rows; seed {seed}: killed {delay:.1f} s after "
            f"its first part, with {len(kept)} parts; then {found['seconds']:.1f} s, {mib:.0f} MiB at most\n"
        )
    assert (found["rows"], found["in_order"]) == (files * ROWS_A_FILE, True)
    assert found["amount"] == pytest.approx(amount)
    assert found["max_rss"] < GIB
    assert found["dtypes"]["paid_at"] == "datetime64[ns, UTC]" and found["dtypes"]["amount_eur"] == "float64"
    for path, written in kept.items():
        assert path.stat().st_mtime_ns == written, "a part that was committed was written again"
    manifest = pd.read_parquet(next(tmp_path.glob(".crm/ingest/*/manifest.parquet")))
    assert (len(manifest), int(manifest["rows"].sum())) == (files, files * ROWS_A_FILE)


def test_the_second_run_reads_nothing_again_and_gives_the_same_digest(tmp_path: Path) -> None:
    write_files(tmp_path / "data", 200)
    first = json.loads(start(tmp_path).communicate(timeout=300)[0].splitlines()[-1])
    before = {path: path.stat().st_mtime_ns for path in parts(tmp_path)}
    again = json.loads(start(tmp_path).communicate(timeout=300)[0].splitlines()[-1])
    assert again["digest"] == first["digest"] and again["rows"] == first["rows"]
    assert {path: path.stat().st_mtime_ns for path in parts(tmp_path)} == before
