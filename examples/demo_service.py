"""The demo's service: the champion started, asked, loaded, and stopped."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROWS = 20
"""Requests sent one by one, at least."""
START_S = 600
"""The first start also makes the service's environment."""
_COUNTED = re.compile(r'^crm_requests_total\{code="(\d+)".*\} (\S+)$', re.M)


@dataclass
class Service:
    """A started `crm serve`."""

    process: subprocess.Popen[bytes]
    url: str
    began: float
    ready_s: float = 0.0
    """Seconds from the command to ready."""
    stopped_s: float = 0.0
    """Seconds from SIGTERM to the end."""

    def ask(self, path: str, body: str | None = None) -> str:
        """The body of the answer; an answer other than 200 raises."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body and body.encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return str(reply.read().decode())

    def stop(self) -> int:
        """The exit code after SIGTERM: 0 once all that was asked is answered."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.stopped_s = time.monotonic() - began
        return code


@contextmanager
def started(crm: Path, repo: Path) -> Iterator[Service]:
    """`crm serve` on a free port, ready; when the block ends nothing of it is left."""
    port = free_port()
    began = time.time()
    command = [crm, "serve", "--set", f"serving.port={port}", "--set", "serving.drain_s=1"]
    process = subprocess.Popen(command, cwd=repo)
    try:
        service = Service(process, f"http://127.0.0.1:{port}", began)
        wait_ready(service)
        yield service
    finally:
        close(process)


def close(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C for a service, or for one that is still being set up; a kill where that is not heard."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(service: Service) -> None:
    while time.time() < service.began + START_S:
        if (code := service.process.poll()) is not None:
            raise SystemExit(code or 1)  # its own message stands on the terminal
        try:
            service.ask("/v2/health/ready")
        except OSError:
            time.sleep(0.05)
        else:
            service.ready_s = time.time() - service.began
            return
    raise SystemExit(f"the service was not ready after {START_S} s")


def real_rows(repo: Path) -> Path:
    """The newest payments that keep the contract, as a file: their customers and branches are in the online store."""
    from carrental_mlops.cli.terminal import log_on_stderr
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.core.runner import run_in_process

    found = open_repo(repo)
    training = found.pipeline("training")
    with log_on_stderr():
        run = run_in_process(training, found.step_configs(training), found.context(), until="validate")
    rows = run.load("validate")
    path = repo / ".crm" / "demo" / "rows.parquet"
    path.parent.mkdir(exist_ok=True)
    rows.sort_values(found.config.columns.time).tail(500).to_parquet(path)
    return path


def newest(rows: Path, time: str) -> datetime:
    import pandas as pd

    return pd.read_parquet(rows)[time].max().to_pydatetime()


def serve(crm: Path, repo: Path, call: Callable[..., str]) -> dict[str, Any]:
    """What the champion of `repo` answered over the network, alone and under load.

    Args:
        crm: the command.
        repo: the model repo; its features are in the online store.
        call: runs `crm` to its end and gives its output.
    """
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.loadtest.rows import bodies, from_file
    from carrental_mlops.loadtest.target import target_at
    from carrental_mlops.serving.audit_log import Window, events

    config, rows = open_repo(repo).config, real_rows(repo)
    with started(crm, repo) as service:
        target = target_at(service.url, config.service)
        path = f"/v2/models/{config.service}/infer"
        asked = bodies(from_file(rows), target.fields)
        answers = [json.loads(service.ask(path, "{" + body)) for body in asked[:: max(1, len(asked) // ROWS)]]
        load = json.loads(
            call("loadtest", service.url, "--profile", "load", "--duration", "20s", "--rows", str(rows), "--json",
                 cwd=repo, ok=(0, 5))
        )  # fmt: skip
        counted = {code: int(float(count)) for code, count in _COUNTED.findall(service.ask("/metrics"))}
        code = service.stop()
    kept = sum(1 for _ in events(repo / config.serving.audit.folder, Window(since=service.began)))
    return {
        "url": service.url,
        "version": target.version,
        "digest": target.digest,
        "ready_s": service.ready_s,
        "answers": [{o["name"]: o["data"][0] for o in answer["outputs"]} | {"id": answer["id"]} for answer in answers],
        "flags": sorted({flag for answer in answers for flag in answer.get("parameters", {}).get("flags", [])}),
        "until": newest(rows, config.columns.time),
        "load": load,
        "answered": counted["200"],
        "late": counted.get("504", 0),
        "audited": kept,
        "exit_code": code,
        "stopped_s": service.stopped_s,
        "audit": repo / config.serving.audit.folder,
    }


def told(served: dict[str, Any], root: Path) -> str:
    """The summary's lines."""
    answers, load = served["answers"], served["load"]
    blocked = sum(answer["decision"] == "block" for answer in answers)
    one = max(answers, key=lambda answer: float(answer["score"]))
    most, slo = load["steps"][-1], load["slo"]
    late = f" and {served['late']:,} that came too late" if served["late"] else ""
    return f"""\
The champion as a service
  address    {served["url"]}, ready {served["ready_s"]:.1f} s after crm serve
  model      version {served["version"]}, digest {served["digest"]}
  answers    {len(answers)} payments asked over HTTP, {blocked} of them blocked
  one        {one["decision"]}, score {one["score"]:.3f}, reason {one["reason"] or "none"}; crm audit get {one["id"]}
  features   by entity id from the online store, flags {" ".join(served["flags"]) or "none"}
             (the payments end on {served["until"]:%d %B %Y})
  loaded     {most["sent_rps"]:.0f} requests/s, p50 {most["p50_ms"]:.1f}, p99 {most["p99_ms"]:.1f} ms, {_failed(most)}
  SLO        {slo["rps"]:.0f} requests/s, p99 {slo["p99_ms"]:.0f} ms, {_failed(slo)}: {verdict(load)}
  audit      {served["audited"]:,} events for {served["answered"]:,} answers{late}, {served["audit"].relative_to(root)}
  stopped    by SIGTERM in {served["stopped_s"]:.1f} s, exit code {served["exit_code"]}"""


def _failed(figures: dict[str, Any]) -> str:
    return f"{figures['error_rate']:.2%} failed"


def verdict(load: dict[str, Any]) -> str:
    return "held" if load["passed"] else f"missed ({'; '.join(load['reasons'][:2])})"


def problems(served: dict[str, Any]) -> list[str]:
    """What must not be, whatever the machine is busy with."""
    found = []
    if served["exit_code"]:
        found.append(f"the service ended with exit code {served['exit_code']} after SIGTERM")
    if not 0 <= served["audited"] - served["answered"] <= served["late"]:  # a late one may have been kept
        found.append(f"{served['answered']} answers, but {served['audited']} audit events")
    return found
