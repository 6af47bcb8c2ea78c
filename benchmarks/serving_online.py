"""Ten stored features by customer from Redis, then the model: our direct reader, ours by plain Feast, MLServer's.

Needs redis-server and wrk. One worker each, asked in turn by 16 connections for random customers; ours checks the
request, its ages and its policy and counts, the others do not; no audit. Answers are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from measure import ROOT, verdict, wall

PEERS = Path(__file__).parent / "online_peers"
CUSTOMERS = 2_000
CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")

SERVICE = """from pydantic import Field

from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService


class Payment(RowContract):
    customer_id: int
    amount_eur: float = Field(ge=0)


class Features(FeatureSet):
    history = (History("customer_history", "customer_id", days=(1, 7, 14, 30, 60), mean=("amount",)),)
    request = ("amount_eur",)


class Fraud(ModelService):
    feature_set, schema = Features, Payment
"""
CRM = """{"service": "fraud", "package": "bench_online", "owner": "bench", "tier": 3, "latency_class": "real-time",
"environments": ["local"], "columns": {"id": "i", "time": "t", "label": "y", "entities": ["customer_id"]}}"""


@dataclass
class Peer:
    """One server, and what it showed."""

    name: str
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    rps: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, redis() as url:
        folder = Path(name)
        fill(folder, url)
        found = peers(folder, url)
        answers = [first_answers(peer) for peer in found]
        if any(answer != answers[0] for answer in answers):
            sys.exit(f"they answer differently: {answers}")
        for _ in range(options.repetitions):
            for peer in found:
                take(peer, folder, options.seconds)
    report(found)


def fill(folder: Path, url: str) -> None:
    """Model, bundle, repo, and the customers' features in Redis."""
    import lightgbm
    import pandas as pd

    sys.path.insert(0, str(folder / "repo" / "src"))
    package = folder / "repo" / "src" / "bench_online"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(SERVICE)
    (folder / "repo" / "config").mkdir()
    (folder / "repo" / "config" / "crm.yaml").write_text(CRM)
    from bench_online.service import Features  # type: ignore[import-not-found]

    from carrental_mlops.core.context import Context
    from carrental_mlops.data.model import LightGbm, Model
    from carrental_mlops.integrations import feast
    from carrental_mlops.integrations.feast_manifest import online_manifest
    from carrental_mlops.integrations.feast_store import online_config
    from carrental_mlops.serving.endpoint import Identity
    from carrental_mlops.serving.load import Bundle

    r = np.random.default_rng(0)
    values = {name: r.normal(50, 9, CUSTOMERS) for name in Features.history[0].features()}
    stamp = pd.Timestamp.now("UTC").floor("D")
    table = pd.DataFrame({"customer_id": np.arange(CUSTOMERS), "event_timestamp": stamp, **values})
    context = Context(root=folder / "repo", stores=True, service="fraud")
    feast.materialise(context, Features, {"customer_history": table}, None, url)
    names = ("amount_eur", *Features.stored_columns())
    x = np.column_stack([r.gamma(2, 60, CUSTOMERS), *values.values()])
    settings = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, (x[:, 0] + x[:, 1] > 170).astype(int)), 200)
    booster.save_model(folder / "model.txt")
    digest = Model(LightGbm(booster), names).save(folder / "bundle")
    Bundle(folder / "bundle", Identity("fraud", "1", digest), online_manifest(context, Features, url)).write()
    (folder / "features.txt").write_text("\n".join(Features.references()))
    (folder / "feast").mkdir()
    told = {
        "project": "fraud",
        "provider": "local",
        "registry": {"path": str(folder / "repo" / ".crm" / "feast" / "registry.db"), "cache_ttl_seconds": 3600},
        "online_store": {k: v for k, v in online_config(folder, url).items() if k != "skip_dedup"},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feast" / "feature_store.yaml").write_text(json.dumps(told))


def peers(folder: Path, url: str) -> list[Peer]:
    """Each listens on its own port, in BENCH_PORT."""
    repo, bundle = str(folder / "repo"), str(folder / "bundle")
    direct = [sys.executable, "-m", "carrental_mlops.serving.server", "--repo", repo, "--bundle", bundle]
    for pair in ("port={port}", 'audit.kind="off"', "drain_s=0", "features.budget_ms=1000"):
        direct += ["--set", f"serving.{pair}"]
    plain = [sys.executable, str(PEERS / "ours_by_feast.py"), repo, bundle, str(folder / "feast"), "{port}"]
    (folder / "mlserver").mkdir()
    shutil.copy(PEERS / "mlserver_feast.py", folder / "mlserver")
    model = {"name": "fraud", "implementation": "mlserver_feast.Fraud"}
    (folder / "mlserver" / "model-settings.json").write_text(json.dumps(model))
    mlserver = [str(environment() / "mlserver"), "start", str(folder / "mlserver")]
    quiet = {"MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false", "BENCH": str(folder)}
    return [
        Peer("ours, direct reader", direct, {"CRM_REDIS_URL": url}),
        Peer("ours, plain Feast", plain, {"CRM_REDIS_URL": url}),
        *(Peer(f"MLServer, Feast {how}", mlserver, quiet | {"FEAST_CALL": how}) for how in ("sync", "async")),
    ]


def environment() -> Path:
    """bin/ of `.venvs/bench-mlserver-feast`: the newest Feast that goes with MLServer."""
    folder = ROOT / ".venvs" / "bench-mlserver-feast"
    if not (folder / "ready").is_file():
        uv, python = ROOT / ".tools" / "bin" / "uv", folder / "bin" / "python"
        wall([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder])
        packages = ["mlserver>=1.7", "feast[redis]>=0.63", "lightgbm>=4.6"]
        wall([uv, "pip", "install", "--compile-bytecode", "--quiet", "--python", python, *packages])
        (folder / "ready").touch()
    return folder / "bin"


def first_answers(peer: Peer) -> list[float]:
    """Scores of ten customers."""
    with running(peer) as (_, url):
        return [ask(url, body(customer))["outputs"][0]["data"][0] for customer in range(10)]


def take(peer: Peer, folder: Path, seconds: int) -> None:
    """One repetition."""
    script = folder / "wrk.lua"
    script.write_text(f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local body = [==[{json.dumps(body(987654321))}]==]
request = function()
  return wrk.format(nil, nil, nil, (body:gsub("987654321", tostring(math.random(0, {CUSTOMERS - 1})))))
end
function done(summary, latency)
  io.write(string.format("RES n=%d rps=%f p50=%f p99=%f bad=%d\\n", summary.requests,
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
""")
    with running(peer) as (pid, url):
        wrk(url, script, 2)
        before = cpu(pid)
        found = wrk(url, script, seconds)
        peer.cpu_us.append((cpu(pid) - before) / found["n"] * 1e6)
        peer.rps.append(found["rps"])
        peer.p50.append(found["p50"])
        peer.p99.append(found["p99"])
        print(f"{peer.name}: {found['rps']:.0f}/s, {peer.cpu_us[-1]:.0f} µs CPU", file=sys.stderr, flush=True)


def report(found: list[Peer]) -> None:
    """A row each peer, ours against it."""
    numbers = {
        peer.name: [statistics.median(taken) for taken in (peer.rps, peer.p50, peer.p99, peer.cpu_us)] for peer in found
    }
    for name, (rps, p50, p99, cost) in numbers.items():
        print(f"{name}: {rps:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {cost:.0f} µs CPU", file=sys.stderr)
    rival = max((name for name in numbers if name.startswith("MLServer")), key=lambda name: numbers[name][0])
    for name, target in (("ours, direct reader", ">= 5x"), ("ours, plain Feast", ">= 2x")):
        mine, theirs = numbers[name], numbers[rival]
        print(
            f"| stored features from Redis, {CONNECTIONS} connections: {name} | {mine[0]:.0f}/s | {rival} "
            f"| {theirs[0]:.0f}/s | {mine[0] / theirs[0]:.2f}x | {target} | {verdict(target, mine[0] / theirs[0])} "
            f"| p99 {mine[2]:.1f} against {theirs[2]:.1f} ms, CPU {mine[3]:.0f} against {theirs[3]:.0f} µs a request |"
        )


def body(customer: int) -> dict[str, object]:
    """One payment."""
    tensors = [("customer_id", "INT64", [customer]), ("amount_eur", "FP64", [120.5])]
    return {"inputs": [{"name": n, "shape": [1], "datatype": kind, "data": data} for n, kind, data in tensors]}


@contextmanager
def running(peer: Peer) -> Iterator[tuple[int, str]]:
    """(pid, URL) of the server, until it answers and until the block ends."""
    port = free_port()
    ports = {"MLSERVER_HTTP_PORT": port, "MLSERVER_GRPC_PORT": free_port(), "MLSERVER_METRICS_PORT": free_port()}
    env = os.environ | peer.env | {k: str(v) for k, v in ports.items()} | {"OMP_NUM_THREADS": "1"}
    command = [word.replace("{port}", str(port)) for word in peer.command]
    url, begun = f"http://127.0.0.1:{port}/v2/models/fraud/infer", time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            while True:
                try:
                    ask(url, body(1))
                    break
                except OSError as error:
                    if process.poll() is not None or time.perf_counter() - begun > 120:
                        log.seek(0)
                        sys.exit(f"{peer.name}: {error}\n{log.read()[-3000:]}")
                    time.sleep(0.1)
            yield process.pid, url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def redis() -> Iterator[str]:
    """URL of a Redis of our own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(1)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def ask(url: str, sent: object) -> dict[str, list[dict[str, list[float]]]]:
    """The answer to one request."""
    request = urllib.request.Request(url, json.dumps(sent).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        found: dict[str, list[dict[str, list[float]]]] = json.load(reply)
    return found


def wrk(url: str, script: Path, seconds: int) -> dict[str, float]:
    """What `script` wrote: n, rps, p50 and p99 (ms), bad."""
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out[out.index("RES") :])}
    if found["bad"]:
        sys.exit(f"{url}: {found['bad']:.0f} requests failed\n{out}")
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
