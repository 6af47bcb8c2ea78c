"""Ten million rows through `Model.score` in chunks, against bare `Booster.predict` and mlflow.pyfunc."""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Row, alternate, cpu

from carrental_mlops.data.model import Model

FEATURES = 20
CHUNK = 500_000


def trained() -> tuple[object, tuple[str, ...]]:
    from lightgbm import LGBMClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, FEATURES))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 1.5).astype(int)
    columns = tuple(f"f{n}" for n in range(FEATURES))
    estimator = LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1)
    return estimator.fit(x, y), columns


def rows(total: int = 10_000_000, runs: int = 3) -> list[Row]:
    """CPU seconds, all of them single-threaded, taken in turn: wall time on a busy machine measures the others."""
    import mlflow

    estimator, columns = trained()
    booster = estimator.booster_
    model = Model(estimator, columns)
    matrix = np.random.default_rng(1).normal(size=(CHUNK, FEATURES))
    frame = pd.DataFrame(matrix, columns=list(columns))
    chunks = range(max(1, total // CHUNK))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "m")
        mlflow.lightgbm.save_model(estimator, path, pip_requirements=["lightgbm"])
        pyfunc = mlflow.pyfunc.load_model(path)
        model.score(frame)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ours, bare, by_mlflow = alternate(
            lambda: cpu(lambda: [model.score(frame) for _ in chunks]),
            lambda: cpu(lambda: [booster.predict(matrix, num_threads=1) for _ in chunks]),
            lambda: cpu(lambda: [pyfunc.predict(frame, params={"num_threads": 1}) for _ in chunks]),
            runs=runs,
        )
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    name = f"batch scoring, {len(chunks) * CHUNK:,} rows x {FEATURES}, CPU"
    return [
        Row(name, ours, "bare `Booster.predict`", bare, "<= 1.1x", f"peak memory of all three grew {growth:.0f} MiB"),
        Row(name, ours, "`mlflow.pyfunc` in pandas chunks", by_mlflow, "<= 1.0x"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    for row in rows(parser.parse_args().rows):
        print(row.markdown())
