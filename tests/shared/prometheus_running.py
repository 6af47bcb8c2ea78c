"""A real Prometheus that scrapes services on this machine and evaluates their rules every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml


@dataclass
class Prometheus:
    """One that runs."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str, **query: str) -> Any:
        """`data` of an answer of its API."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[tuple[str, str]]:
        """(alert, namespace) of all that fire."""
        alerts = [alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]
        return {(alert["labels"]["alertname"], alert["labels"].get("namespace", "")) for alert in alerts}

    def wait_for(self, alert: str, namespace: str, timeout_s: float = 60) -> None:
        """Returns once it fires."""
        deadline = time.monotonic() + timeout_s
        while (alert, namespace) not in self.firing():
            assert time.monotonic() < deadline, f"{alert} did not fire; these do: {sorted(self.firing())}"
            time.sleep(0.5)

    def wait_gone(self, alerts: set[str], timeout_s: float = 60) -> None:
        """Returns once none of them fires."""
        deadline = time.monotonic() + timeout_s
        while found := {name for name, _ in self.firing()} & alerts:
            assert time.monotonic() < deadline, f"{found} still fires"
            time.sleep(0.5)


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, Mapping[str, str]], groups: Sequence[Mapping[str, Any]], port: int
) -> Iterator[Prometheus]:
    """Prometheus on `port` until the block ends.

    Args:
        folder: of its data.
        targets: `host:port` to the labels that the cluster would give.
        groups: rules; each alert fires at once here, so that a test need not wait for its `for`.
        port: free.
    """
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("prometheus is not here: apt-get install prometheus")
    fast = [
        {
            **group,
            "interval": "1s",
            "rules": [{**rule, "for": "0s"} if "alert" in rule else rule for rule in group["rules"]],
        }
        for group in groups
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": fast}))
    configs = [{"targets": [address], "labels": dict(labels)} for address, labels in targets.items()]
    scraped = {"job_name": "services", "static_configs": configs}
    timing = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": timing, "rule_files": ["rules.yaml"], "scrape_configs": [scraped]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen(
        [
            found,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        running = Prometheus(f"http://127.0.0.1:{port}", process)
        deadline = time.monotonic() + 30
        while True:
            try:
                running.get("alerts")
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(20)


__all__ = ["Prometheus", "prometheus"]
