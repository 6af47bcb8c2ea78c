"""Historical join: ours against Feast's default (file, Dask) offline store, in one run.

    python benchmarks/historical_join.py --rows 1000000

Prints a row of docs/benchmarks.md: medians, ratio, rows lost by each.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from measure import verdict

from carrental_mlops.config import Columns
from carrental_mlops.core.context import Context
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.integrations import feast as crm_feast
from carrental_mlops.integrations.feast_store import TIMESTAMP, apply, quiet, write_tables

COLUMNS = Columns(id="id", time="at", label="fraud", entities=("customer_id", "branch_id"))
START = pd.Timestamp("2026-01-01", tz="UTC")
N_DAYS = 30


class Features(FeatureSet):
    """Two views of ten features."""

    history = (
        History("customer_history", "customer_id", days=(1, 3, 7, 14, 30), mean=("amount",)),
        History("branch_history", "branch_id", days=(1, 3, 7, 14, 30), mean=("amount",)),
    )


def snapshots(h: History, entities: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row per entity and third day."""
    days = np.arange(0, N_DAYS, 3)
    key = np.repeat(np.arange(entities), len(days))
    stamps = START + pd.to_timedelta(np.tile(days, entities), unit="D")
    values = {name: rng.normal(size=len(key)) for name in h.features()}
    return pd.DataFrame({h.entity: key, TIMESTAMP: stamps, **values})


def payments(n: int, entities: int, rng: np.random.Generator) -> pd.DataFrame:
    """n events; one in 50 has a key without snapshots, one in 50 comes before the first."""
    seconds = rng.integers(0, N_DAYS * 86_400, n)
    seconds[rng.random(n) < 0.02] -= 90 * 86_400
    customer = rng.integers(0, entities, n)
    customer[rng.random(n) < 0.02] += entities
    at = START + pd.to_timedelta(seconds, unit="s")
    return pd.DataFrame({"at": at, "customer_id": customer, "branch_id": rng.integers(0, 500, n)})


def by_default(root: Path, tables: dict[str, pd.DataFrame], rows: pd.DataFrame) -> int:
    """Rows that Feast gives back as `feast init` sets it up: file registry, Dask file store, SQLite."""
    from feast import FeatureStore, RepoConfig

    folder = root / "default"
    write_tables(folder, Features, tables)
    registry, online = str(folder / "registry.db"), {"type": "sqlite", "path": str(folder / "online.db")}
    config = RepoConfig(
        project="bench", provider="local", registry=registry, online_store=online, entity_key_serialization_version=3
    )
    store = FeatureStore(config=config)
    apply(store, folder, Features, None, root)
    entity_df = rows.rename(columns={"at": TIMESTAMP})
    job = store.get_historical_features(entity_df, list(Features.references()), full_feature_names=True)
    return len(job.to_df())


def in_turns(calls: dict[str, Callable[[], int]], runs: int) -> dict[str, tuple[float, int]]:
    """Median wall time and rows returned of each; taken in turns, so that the machine's load falls on both.

    The first turn also pays for imports and is left out.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    kept: dict[str, int] = {}
    for turn in range(runs + 1):
        for name, call in calls.items():
            gc.collect()
            start = time.perf_counter()
            kept[name] = call()
            if turn:
                taken[name].append(time.perf_counter() - start)
                print(f"  {name}: {taken[name][-1]:.2f} s, {kept[name]:,} rows", flush=True)
    return {name: (statistics.median(taken[name]), kept[name]) for name in calls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--entities", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    tables = {h.view: snapshots(h, n, rng) for h, n in zip(Features.history, (asked.entities, 500), strict=True)}
    rows = payments(asked.rows, asked.entities, rng)
    with tempfile.TemporaryDirectory() as folder, quiet():
        context = Context(root=Path(folder), stores=True, service="bench")
        calls = {
            "ours": lambda: len(crm_feast.join_historical(context, Features, tables, rows, COLUMNS)),
            "default": lambda: by_default(Path(folder), tables, rows),
        }
        found = in_turns(calls, asked.runs)
    (ours, kept), (default, kept_default) = found["ours"], found["default"]
    lost, lost_default = asked.rows - kept, asked.rows - kept_default
    what = f"historical join, {asked.rows:,} rows x {len(Features.references())} features (ratio: peer / ours)"
    reached = "**missed**" if lost else verdict(">= 3x", default / ours)
    note = f"rows lost: ours {lost:,}, peer {lost_default:,}"
    print(
        f"| {what} | {ours:.2f} s | Feast's default store | {default:.2f} s | {default / ours:.1f}x "
        f"| >= 3x, no row lost | {reached} | {note} |"
    )


if __name__ == "__main__":
    main()
