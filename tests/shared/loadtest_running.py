"""A service in a process of its own, and `crm` as another one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

CRM = Path(sys.executable).with_name("crm")
REPO = """service: payments
package: payments
owner: a@example.com
tier: 3
latency_class: near-real-time
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: [customer_id]}
slo: {p99_ms: 2000, rps: 50, error_rate: 0.01}
"""
ROWS = """{"customer_id": 7, "paid_at": "2026-03-01T10:30:00Z", "amount_eur": 120.5, "rental_days": 3}
{"customer_id": 8, "paid_at": "2026-03-01T11:30:00Z", "amount_eur": 20, "channel": "desk"}
"""


@dataclass(frozen=True)
class Running:
    url: str
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, *more: str) -> Running:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        script = Path(__file__).with_name("loadtest_service.py")
        return cls(f"http://127.0.0.1:{port}", subprocess.Popen([sys.executable, str(script), str(port), *more]))

    def wait_until_ready(self) -> None:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, "the service did not start"
                time.sleep(0.1)
        raise AssertionError("the service was not ready in a minute")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def crm(repo: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1"} | variables
    command = [str(CRM), *arguments]
    return subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, timeout=180, check=False)


def loadtest_repo(folder: Path) -> Path:
    """A repo that promises a p99 that a busy machine holds too, and `payments.jsonl` in it."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "crm.yaml").write_text(REPO)
    (folder / "payments.jsonl").write_text(ROWS)
    return folder
