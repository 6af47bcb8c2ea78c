"""What the serving benchmark needs: one model, our repo and bundle around it, and each server's environment."""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from measure import ROOT, wall

FEATURES = 20
NAMES = tuple(f"f{n}" for n in range(FEATURES))
PEERS = Path(__file__).parent / "serving_peers"
UV = ROOT / ".tools" / "bin" / "uv"


@dataclass(frozen=True)
class Peer:
    """One server: how it starts, where it is asked, and what is sent."""

    name: str
    command: list[str]
    path: str
    port: int
    body: dict[str, object]
    folder: Path = PEERS
    env: dict[str, str] = field(default_factory=dict)
    rows: dict[str, object] | None = None
    """A request of 1,000 rows."""


def model(folder: Path) -> None:
    """200 trees of 31 leaves on 20 features: `model.txt` for the peers, `mlflow/`, and our bundle."""
    import lightgbm as lgb
    import mlflow.lightgbm

    from carrental_mlops.data.model import LightGbm, Model
    from carrental_mlops.serving.endpoint import Identity
    from carrental_mlops.serving.load import Bundle

    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, FEATURES))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 1.5).astype(int)
    booster = lgb.train(
        {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}, lgb.Dataset(x, y), 200
    )
    booster.save_model(folder / "model.txt")
    mlflow.lightgbm.save_model(booster, str(folder / "mlflow"), pip_requirements=["lightgbm"])
    digest = Model(LightGbm(booster), NAMES).save(folder / "bundle")
    Bundle(folder / "bundle", Identity("fraud", "1", digest)).write()


def predict_ms(folder: Path) -> float:
    """Median of the bare `predict` of 1,000 rows in one thread, without anything around it."""
    import lightgbm as lgb

    booster, taken = lgb.Booster(model_file=folder / "model.txt"), []
    x = np.array(sample(1000)).reshape(-1, FEATURES)
    for _ in range(100):
        begun = time.perf_counter()
        booster.predict(x, num_threads=1)
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


def repo(folder: Path) -> Path:
    """A model repo whose contract has 20 bounded numbers and whose model sees them as they are."""
    package = folder / "src" / "bench_fraud"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    fields = "\n".join(f"    {name}: float = Field(ge=-1e6, le=1e6)" for name in NAMES)
    (package / "service.py").write_text(f"""from pydantic import Field
from carrental_mlops.data.features import FeatureSet
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService


class Row(RowContract):
{fields}


class Features(FeatureSet):
    request = {NAMES!r}


class Fraud(ModelService):
    feature_set = Features
    schema = Row
""")
    (folder / "config").mkdir()
    columns = {"id": "f0", "time": "f1", "label": "is_fraud", "entities": []}
    crm = {"service": "fraud", "package": "bench_fraud", "owner": "bench", "tier": 1, "latency_class": "real-time"}
    (folder / "config" / "crm.yaml").write_text(json.dumps({**crm, "columns": columns, "environments": ["local"]}))
    return folder


def sample(rows: int) -> list[float]:
    """`rows` x 20 numbers, row by row."""
    values: list[float] = np.random.default_rng(rows).normal(size=rows * FEATURES).round(4).tolist()
    return values


def v2(rows: int) -> dict[str, object]:
    """An Open Inference Protocol request of one [rows, 20] tensor."""
    return {"inputs": [{"name": "x", "shape": [rows, FEATURES], "datatype": "FP64", "data": sample(rows)}]}


def nested(rows: int) -> list[list[float]]:
    """`sample`, a list a row."""
    return np.reshape(sample(rows), (rows, FEATURES)).tolist()


def environment(name: str, *packages: str) -> Path:
    """bin/ of `.venvs/bench-<name>`: the project's hashed requirements of that name, else `packages`."""
    folder = ROOT / ".venvs" / f"bench-{name}"
    if not (folder / "ready").is_file():
        hashed = ROOT / "requirements" / f"{name}.txt"
        what = ["sync", "--require-hashes", hashed] if hashed.is_file() else ["install", *packages]
        wall([UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder])
        wall([UV, "pip", what[0], "--quiet", "--python", folder / "bin" / "python", *what[1:]])
        if name == "serving":
            wall([UV, "pip", "install", "-q", "--no-deps", "--python", folder / "bin" / "python", "--editable", ROOT])
        (folder / "ready").touch()
    return folder / "bin"
