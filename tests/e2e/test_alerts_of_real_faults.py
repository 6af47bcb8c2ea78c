"""A real Prometheus watches real services: each fault fires its alert, and the runbook's first command names it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from background_program import free_port
from online_parts import Filled
from prometheus_running import Prometheus, prometheus
from service_process import INFER, ServiceProcess, bundle, running

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.deploy.observe.alerts import alerts_of
from carrental_mlops.deploy.observe.rules import rules_of
from carrental_mlops.serving.load import Bundle

pytestmark = pytest.mark.e2e

_CONFIG = """
service: payments
package: payments_repo
owner: risk@example.com
tier: 1
columns: {id: payment_id, time: paid_at, label: is_fraud, entities: [customer_id]}
latency_class: real-time
slo: {p99_ms: 150, rps: 50, error_rate: 0.01}
serving:
  audit: {kind: best_effort}
  drain_s: 0
  deadline_ms: 5000
  features: {stale_after_hours: 72, budget_ms: 5000}
watch: {no_traffic_minutes: 0.2}
"""
_SERVICE = """
import time
from datetime import datetime
from pydantic import Field
from carrental_mlops.data.features import FeatureSet, History
from carrental_mlops.data.row_contract import RowContract
from carrental_mlops.serving import ModelService

class Payment(RowContract):
    customer_id: int
    paid_at: datetime
    amount_eur: float = Field(ge=0, le=20_000)
    rental_days: float | None = Field(default=None, gt=0, le=365)
    is_fraud: int | None = None

class PaymentFeatures(FeatureSet):
    request = ("amount_eur", "rental_days", "paid_at")
    history = (History("customer_history", "customer_id", days=(7, 30), mean=("amount",)),)

    def compute(self, *, columns):
        return {"hour": columns["paid_at"] % 86_400 / 3_600}

class PaymentService(ModelService):
    feature_set = PaymentFeatures
    schema = Payment

    def rules(self, *, columns):
        amount = columns["amount_eur"][0]
        if amount == 666:
            raise KeyError("a value that it never saw")
        if amount == 777:
            time.sleep(0.3)
        return {}
"""


def _payment(amount: float) -> dict[str, Any]:
    values = {"customer_id": ("INT64", 7), "paid_at": ("BYTES", "2026-03-01T10:30:00Z"), "amount_eur": ("FP64", amount)}
    inputs = [{"name": n, "shape": [1], "datatype": kind, "data": [value]} for n, (kind, value) in values.items()]
    return {"inputs": inputs}


class Callers:
    """Ask one service twenty times a second, until told otherwise."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service, self._stop = service, threading.Event()
        self.amount, self.share = 120.5, 0.0
        """Of each ten requests, `10 * share` have this amount."""
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            number += 1
            self._service.ask(INFER, _payment(self.amount if number % 10 < 10 * self.share else 120.5))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


@dataclass
class Watched:
    """The services and who watches them."""

    prometheus: Prometheus
    service: ServiceProcess
    repo: Path
    configs: dict[str, RepoConfig]
    """Namespace to configuration."""

    def first_command(self, alert: str, namespace: str = "models") -> str:
        """What the first command of the runbook prints."""
        (found,) = (a for a in alerts_of(self.configs[namespace], "prod") if a.name == alert)
        done = subprocess.run(shlex.split(found.commands[0]), capture_output=True, text=True, check=True)
        return done.stdout


def _repo(folder: Path) -> Path:
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "crm.yaml").write_text(_CONFIG)
    package = folder / "src" / "payments_repo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "service.py").write_text(_SERVICE)
    return folder


def _bundle(folder: Path, repo: Path) -> Path:
    online = Filled(repo).manifest
    made = Bundle.read(bundle(folder))
    Bundle(folder, made.identity, online).write()
    return folder


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("watched")
    repo, port = _repo(folder / "repo"), free_port()
    bundled = _bundle(folder / "bundle", repo)
    old = "serving.features.stale_after_hours=1"
    url = f"watch.prometheus=http://127.0.0.1:{port}"
    sets = {"models": (url,), "staging": (url, old, "deploy.namespace=staging")}
    configs = {namespace: repo_config(load(repo, None, pairs)) for namespace, pairs in sets.items()}
    groups = [
        {**group, "name": f"{namespace}.{group['name']}"}
        for namespace, config in configs.items()
        for group in rules_of(config, "prod")
    ]
    with running(repo, bundled) as service, running(repo, bundled, (old, "serving.audit.kind='off'")) as stale:
        targets = {
            f"127.0.0.1:{place.port}": {"namespace": namespace, "pod": f"payments-champion-0-{namespace}"}
            for namespace, place in (("models", service), ("staging", stale))
        }
        of_staging = Callers(stale)
        with prometheus(folder, targets, groups, port) as server:
            yield Watched(server, service, repo, configs)
        of_staging.stop()


@pytest.fixture
def callers(watched: Watched) -> Iterator[Callers]:
    """Well-behaved ones, with nothing firing in `models` but what an earlier fault left in long windows."""
    asking = Callers(watched.service)
    yield asking
    asking.stop()


def test_nothing_fires_while_all_is_well(watched: Watched, callers: Callers) -> None:
    time.sleep(15)
    disk = shutil.disk_usage(watched.repo)
    true_of_this_machine = {"AuditDiskFilling"} if disk.free < 0.16 * disk.total else set()
    firing = {alert for alert, namespace in watched.prometheus.firing() if namespace == "models"}
    assert firing <= true_of_this_machine


def test_a_hook_that_fails_burns_the_budget(watched: Watched, callers: Callers) -> None:
    callers.amount, callers.share = 666, 0.5
    watched.prometheus.wait_for("ErrorsFast", "models")
    shown = watched.first_command("ErrorsFast")
    assert 'cause="KeyError"' in shown
    assert 'version="1"' in shown
    assert 'pod="payments-champion-0-models"' in shown


def test_a_slow_hook_burns_the_budget_of_latency(watched: Watched, callers: Callers) -> None:
    callers.amount, callers.share = 777, 0.5
    watched.prometheus.wait_for("LatencyFast", "models")
    assert 'stage="model"' in watched.first_command("LatencyFast").splitlines()[0]


def test_a_lost_audit_volume_is_told_with_its_cause(watched: Watched, callers: Callers) -> None:
    shutil.rmtree(watched.repo / ".crm" / "audit")
    watched.prometheus.wait_for("AuditDropped", "models", 120)
    assert 'cause="disk"' in watched.first_command("AuditDropped")


def test_features_that_nobody_refreshed_are_told_by_view(watched: Watched) -> None:
    watched.prometheus.wait_for("FeaturesStale", "staging")
    shown = watched.first_command("FeaturesStale", "staging")
    assert 'view="customer_history"' in shown
    assert ("FeaturesStale", "models") not in watched.prometheus.firing()


def test_a_service_that_nobody_asks_is_told_from_one_that_is_down(watched: Watched) -> None:
    watched.prometheus.wait_for("NoTraffic", "models")
    assert "pods are up" in watched.first_command("NoTraffic")


def test_a_service_that_is_gone_is_down(watched: Watched) -> None:
    watched.service.process.kill()
    watched.prometheus.wait_for("ServiceDown", "models")
    assert "no pod answers the scrape" in watched.first_command("NoTraffic")


def test_the_running_prometheus_reads_every_expression_of_the_dashboard(watched: Watched) -> None:
    from carrental_mlops.deploy.observe.dashboard import dashboard_of

    for panel in dashboard_of(watched.configs["models"])["panels"]:
        for target in panel.get("targets", []):
            watched.prometheus.get("query", query=target["expr"])
