"""The same model behind our service and behind what a team could pick instead, asked by wrk over loopback.

Needs wrk (`apt install wrk`). Each server runs alone, one worker, in its own environment; ours checks, traces a tenth,
counts and audits, the peers do none of it. Medians of the repetitions; CPU of the server's processes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import serving_setup as setup
from measure import BIN, verdict
from serving_setup import Peer

COLLECTOR = 18199
"""Port of a collector that takes every span."""
_ROWS_RUNS = 100
_OVER_PREDICT_MS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """What one server showed."""

    name: str
    start_s: float
    rps16: float
    p99_1: float
    cpu_us: float
    """A request, at 16 connections."""
    rows_ms: float
    """A request of 1,000 rows."""
    rss_mb: float
    answered: int
    load: float


def servers(folder: Path) -> list[Peer]:
    """Ours in both audit classes, the floor, and the peers."""
    mlserver, seldon = setup.environment("mlserver"), setup.environment("seldon")
    web = setup.environment("web", "fastapi", "uvicorn[standard]", "bentoml", "lightgbm")
    one, many = setup.v2(1), setup.v2(1000)
    found = [_ours(folder, kind, 18100 + n) for n, kind in enumerate(("best_effort", "durable", "off"))]
    floor = [BIN / "uvicorn", "peer_floor:app", "--port", "18110", "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    mlflow = ["models", "serve", "-m", folder / "mlflow", "-p", "18112", "--env-manager", "local", "--workers", "1"]
    unpack = {"MLSERVER_MODEL_NAME": "fraud", "MLSERVER_MODEL_IMPLEMENTATION": "peer_mlserver.Fraud"}
    ports = {"MLSERVER_HTTP_PORT": "18113", "MLSERVER_GRPC_PORT": "18114", "MLSERVER_METRICS_PORT": "18115"}
    wrapper = [seldon / "seldon-core-microservice", "PeerSeldon", "--service-type", "MODEL"]
    fast = [web / "uvicorn", "peer_fastapi:app", "--port", "18117", *quiet]
    bento = [web / "bentoml", "serve", "peer_bento:Fraud", "--port", "18118"]
    gunicorn = {"GUNICORN_THREADS": "4", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": "18116", "GRPC_WORKERS": "0"}
    return [
        *found,
        Peer("bare echo + JSON + C API", _text(floor + quiet), "/", 18110, one),
        Peer("`mlflow models serve`", _text([BIN / "mlflow", *mlflow]), "/invocations", 18112,
             {"inputs": setup.nested(1)}, rows={"inputs": setup.nested(1000)}),
        Peer("MLServer", _text([mlserver / "mlserver", "start", "."]), "/v2/models/fraud/infer", 18113, one, rows=many,
             env={**unpack, **ports, "MLSERVER_PARALLEL_WORKERS": "0"}, folder=_settings(folder)),
        Peer("seldon-core-microservice", _text(wrapper), "/api/v1.0/predictions", 18116, _seldon(1), env=gunicorn,
             rows=_seldon(1000)),
        Peer("FastAPI + pydantic by hand", _text(fast), "/infer", 18117, one, rows=many),
        Peer("BentoML", _text(bento), "/infer", 18118, one, rows=many),
    ]  # fmt: skip


def _ours(folder: Path, kind: str, port: int) -> Peer:
    sets = [f"serving.port={port}", f'serving.audit.kind="{kind}"', f"serving.audit.folder={folder / kind}"]
    sets += [
        "serving.traces.ratio=0.1",
        f"serving.traces.endpoint=http://127.0.0.1:{COLLECTOR}/v1/traces",
        "serving.drain_s=0",
    ]
    python = setup.environment("serving") / "python"
    module = [python, "-m", "carrental_mlops.serving.server", "--repo", folder / "repo"]
    command = [*module, "--bundle", folder / "bundle", *(text for pair in sets for text in ("--set", pair))]
    return Peer(f"ours, audit {kind}", _text(command), "/v2/models/fraud/infer", port, setup.v2(1), rows=setup.v2(1000))


def _seldon(rows: int) -> dict[str, object]:
    return {"data": {"ndarray": setup.nested(rows)}}


def _settings(folder: Path) -> Path:
    """MLServer wants a folder of its own."""
    place = folder / "mlserver"
    shutil.copytree(setup.PEERS, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def _text(command: list[object]) -> list[str]:
    return [str(word) for word in command]


def take(peer: Peer, folder: Path, seconds: int, repetitions: int) -> Taken:
    """Start `peer`, ask it, stop it."""
    with running(peer, folder) as (pids, started):
        script = _script(folder, peer)
        url = f"http://127.0.0.1:{peer.port}{peer.path}"
        warm = _wrk(url, script, 4, 2)
        alone, busy, costs, answered = [], [], [], int(warm["n"]) + 1
        for _ in range(repetitions):
            alone.append(_wrk(url, script, 1, seconds))
            before = cpu_of(pids())
            busy.append(_wrk(url, script, 16, seconds))
            costs.append((cpu_of(pids()) - before) / max(busy[-1]["n"], 1) * 1e6)
            answered += int(busy[-1]["n"] + alone[-1]["n"])
        rows = _rows_ms(peer) if peer.rows else float("nan")
        answered += _ROWS_RUNS if peer.rows else 0
        return Taken(
            peer.name, started, statistics.median(b["rps"] for b in busy), statistics.median(a["p99"] for a in alone),
            statistics.median(costs), rows, _rss(pids()), answered, os.getloadavg()[0],
        )  # fmt: skip


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def running(peer: Peer, folder: Path) -> Iterator[tuple[object, float]]:
    path = f"{Path(peer.command[0]).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "OMP_NUM_THREADS": "1", "BENCH_MODEL": str(folder), "PYTHONPATH": str(peer.folder)}
    env = os.environ | peer.env | own
    begun = time.perf_counter()
    with (folder / f"{peer.port}.log").open("w") as log:
        process = subprocess.Popen(
            peer.command, cwd=peer.folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        while True:
            try:
                _ask(f"http://127.0.0.1:{peer.port}{peer.path}", peer.body)
                break
            except OSError as error:
                if process.poll() is not None or time.perf_counter() - begun > 90:
                    sys.exit(f"{peer.name}: {error}\n{(folder / f'{peer.port}.log').read_text()[-3000:]}")
                time.sleep(0.05)
        yield (lambda: _tree(process.pid)), time.perf_counter() - begun
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


def _ask(url: str, body: object) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        found: bytes = reply.read()
    return found


def _rows_ms(peer: Peer) -> float:
    body, taken = json.dumps(peer.rows).encode(), []
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=20)
    for _ in range(_ROWS_RUNS):
        begun = time.perf_counter()
        connection.request("POST", peer.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        taken.append((time.perf_counter() - begun) * 1e3)
        if reply.status >= 300:
            sys.exit(f"{peer.name}: {reply.status} for 1,000 rows")
    connection.close()
    return statistics.median(taken)


def _script(folder: Path, peer: Peer) -> Path:
    path = folder / f"{peer.port}.lua"
    path.write_text(f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{json.dumps(peer.body)}]==]
function done(summary, latency)
  io.write(string.format("RES n=%d rps=%f p99=%f bad=%d\\n", summary.requests,
    summary.requests / summary.duration * 1e6, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
""")
    return path


def _wrk(url: str, script: Path, connections: int, seconds: int) -> dict[str, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out[out.index("RES") :])}
    if found["bad"]:
        sys.exit(f"{url}: {found['bad']:.0f} requests failed\n{out}")
    return found


def _tree(pid: int) -> list[int]:
    kids = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [pid, *(p for kid in kids for p in _tree(int(kid)))]


def cpu_of(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _rss(pids: list[int]) -> float:
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def against(what: str, ours: Taken, peer: Taken, measured: str, shown: str, target: str, note: str = "") -> str:
    """A line of the benchmark page; `shown` formats a figure, such as `{:.1f} ms`."""
    mine, theirs = getattr(ours, measured), getattr(peer, measured)
    figures = f"{shown.format(mine)} | {peer.name} | {shown.format(theirs)} | {mine / theirs:.2f}x"
    return f"| {what} | {figures} | {target} | {verdict(target, mine / theirs)} | {note} |"


def report(found: list[Taken], events: dict[str, int], predict_ms: float) -> Iterator[str]:
    """Lines of the benchmark page: against the best of the four servers in each measure."""
    by = {taken.name: taken for taken in found}
    best, durable, bare = (by[f"ours, audit {kind}"] for kind in ("best_effort", "durable", "off"))
    four = [t for t in found if not t.name.startswith(("ours", "bare", "FastAPI"))]
    hand, floor = by["FastAPI + pydantic by hand"], by["bare echo + JSON + C API"]
    fastest = max(four, key=lambda t: t.rps16)

    def least(measured: str) -> Taken:
        return min(four, key=lambda t: float(getattr(t, measured)))

    for ours, target in ((best, ">= 5x"), (durable, ">= 3x")):
        note = f"the audit holds {events[ours.name]:,} events of {ours.answered:,} answers"
        what = f"requests/s at 16 connections, {ours.name[6:]}"
        yield against(what, ours, fastest, "rps16", "{:,.0f}", target, note)
    yield against("the same", best, hand, "rps16", "{:,.0f}", ">= 2x")
    p99 = f"durable audit {durable.p99_1:.2f} ms"
    yield against("p99 at 1 connection", best, least("p99_1"), "p99_1", "{:.2f} ms", "<= 0.5x", p99)
    yield against("CPU a request", best, least("cpu_us"), "cpu_us", "{:.0f} us", "<= 0.2x")
    without = f"without audit {bare.cpu_us:.0f} us"
    yield against("CPU a request over the floor", best, floor, "cpu_us", "{:.0f} us", "<= 1.75x", without)
    yield against("start to first answer", best, least("start_s"), "start_s", "{:.1f} s", "<= 1.0x")
    yield against("memory (PSS of all processes)", best, least("rss_mb"), "rss_mb", "{:.0f} MB", "<= 1.0x")
    yield against("1,000 rows in one request", best, least("rows_ms"), "rows_ms", "{:.1f} ms", "< 1.0x")
    over = best.rows_ms - predict_ms
    reached = "met" if over <= _OVER_PREDICT_MS else "**missed**"
    figures = f"{best.rows_ms:.1f} ms | bare `Booster.predict` | {predict_ms:.1f} ms | {best.rows_ms / predict_ms:.2f}x"
    yield f"| the same over `predict` | {figures} | <= {_OVER_PREDICT_MS:g} ms more | {reached} | {over:.1f} ms more |"


def _events(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"specversion"') for path in folder.rglob("events-*")) if folder.is_dir() else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--only", help="servers whose name holds this")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not on PATH. Fix: apt install wrk")
    collector = ThreadingHTTPServer(("127.0.0.1", COLLECTOR), _Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        setup.model(place)
        setup.repo(place / "repo")
        chosen = [p for p in servers(place) if not args.only or args.only in p.name]
        taken = [take(p, place, args.seconds, args.repetitions) for p in chosen]
        kept = {f"ours, audit {kind}": _events(place / kind) for kind in ("best_effort", "durable")}
        print(*taken, sep="\n", file=sys.stderr)
        if not args.only:
            print(*report(taken, kept, setup.predict_ms(place)), sep="\n")
