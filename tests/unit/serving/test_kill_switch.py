"""The kill switch of a running service: its file, what answers, what the audit says, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from service_process import INFER, PAYMENT, ServiceProcess, bundle, running, service_repo

from carrental_mlops.serving.audit_log import events
from carrental_mlops.serving.switch import LOCAL, Order

RULES = """
    def rules(self, *, columns):
        return {"large": columns["amount_eur"] > 1_000}
"""


class Service:
    """One that runs, with the switch in its repo."""

    def __init__(self, root: Path, process: ServiceProcess) -> None:
        self.root, self.process, self.file = root, process, root / LOCAL

    def switch(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.file)

    def order(self, to: Any, seconds: float = 600, **more: str) -> None:
        self.switch(Order(to, datetime.now(UTC) + timedelta(seconds=seconds), "ann", "a test", **more).text())

    def ask(self, amount_eur: float = 120.5) -> dict[str, Any]:
        inputs = [PAYMENT["inputs"][0], {**PAYMENT["inputs"][1], "data": [amount_eur]}]
        status, body = self.process.ask(INFER, {"inputs": inputs})
        assert status == 200, body
        reply = json.loads(body)
        told = {output["name"]: output["data"][0] for output in reply["outputs"]}
        return {**told, "version": reply["model_version"], "flags": reply.get("parameters", {}).get("flags", [])}

    def until(self, holds: Callable[[dict[str, Any]], bool], within_s: float = 5) -> dict[str, Any]:
        begun = time.monotonic()
        while not holds(told := self.ask()):
            assert time.monotonic() - begun < within_s, (told, self.process.said)
            time.sleep(0.05)
        return told

    def back(self) -> None:
        self.switch("{}")
        self.until(lambda told: not told["flags"])

    def gauge(self, name: str) -> float:
        text = self.process.ask("/metrics")[1].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name}{{"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = service_repo(tmp_path_factory.mktemp("switched"), RULES)
    bundle(root / "bundle-previous", "1")
    sets = ("serving.audit.kind=durable", "serving.audit.folder=audit")
    with running(root, bundle(root / "bundle", "2"), sets) as process:
        yield Service(root, process)


def test_rules_answer_alone_and_the_audit_says_so(service: Service) -> None:
    assert service.ask()["version"] == "2"
    service.order("rules")
    told = service.until(lambda found: found["flags"] == ["switched:rules"])
    assert (told["score"], told["decision"], told["reason"]) == (0.0, "accept", "switched:rules")
    blocked = service.ask(1_500)
    assert (blocked["score"], blocked["decision"], blocked["reason"]) == (1.0, "block", "rule:large")
    kept = [event["data"] for event in events(service.root / "audit")][-1]
    assert (kept["flags"], kept["reason"], kept["model"]["version"]) == (["switched:rules"], ["rule:large"], "2")
    assert service.gauge("crm_switched") == 1
    service.back()


def test_the_model_before_answers_under_its_own_version(service: Service) -> None:
    ours = service.ask()["score"]
    service.order("previous")
    told = service.until(lambda found: found["flags"] == ["switched:previous"])
    assert told["version"] == "1"
    assert told["score"] != ours
    kept = list(events(service.root / "audit"))[-1]
    assert kept["data"]["model"]["version"] == "1"
    assert kept["source"] == "/models/payments/versions/1"
    service.back()
    assert service.ask()["score"] == ours


def test_a_constant_answers_and_ends_at_its_time_with_nobody_doing_anything(service: Service) -> None:
    service.order("constant", seconds=2.5, decision="review")
    told = service.until(lambda found: found["flags"] == ["switched:constant"])
    assert (told["decision"], told["reason"]) == ("review", "switched:constant")
    service.until(lambda found: not found["flags"])
    assert "constant" in service.file.read_text(), "nobody took the file away"
    assert service.gauge("crm_switched") == 0


@pytest.mark.parametrize(
    "broken",
    [
        "{not json",
        '{"to": "everything", "until": "2030-01-01T00:00:00Z", "by": "ann", "reason": "a test"}',
        '{"to": "rules", "until": "soon", "by": "ann", "reason": "a test"}',
        '{"to": "rules", "until": "2030-01-01T00:00:00", "by": "ann", "reason": "a test"}',
        '{"to": "rules", "until": "2030-01-01T00:00:00Z", "by": "ann", "reason": 7}',
        '{"to": "rules", "by": "ann", "reason": "a test"}',
        "[1]",
    ],
)
def test_an_order_that_is_none_is_not_read(broken: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Order.parsed(broken)


def test_a_broken_file_is_reported_and_changes_nothing(service: Service) -> None:
    service.order("constant")
    service.until(lambda found: found["flags"] == ["switched:constant"])
    service.switch('{"to": "everything"}')
    deadline = time.monotonic() + 5
    while "is ignored" not in service.process.said:
        assert time.monotonic() < deadline, service.process.said
        time.sleep(0.05)
    assert service.ask()["flags"] == ["switched:constant"]
    assert service.gauge("crm_switch_broken") == 1
    service.back()
    assert service.gauge("crm_switch_broken") == 0


def test_a_file_that_is_no_file_stops_neither_the_service_nor_the_watch(service: Service) -> None:
    service.file.unlink(missing_ok=True)
    service.file.mkdir()
    time.sleep(1.5)
    assert not service.ask()["flags"]
    service.file.rmdir()
    service.order("rules")
    service.until(lambda found: found["flags"] == ["switched:rules"])
    service.back()
