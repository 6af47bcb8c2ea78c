"""SIGKILL of the real server process under load: every answer that a client got is in the audit, once."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path

import orjson
from audit_parts import kept
from audit_repo import make_bundle, make_repo, model_of, payment_of, start

from carrental_mlops.serving.segments import recover, segments
from carrental_mlops.serving.vault import FileVault


def _ask_until_it_dies(port: int, first: int, answered: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    number = first
    try:
        while True:
            connection.request("POST", "/v2/models/payments/infer", json.dumps(payment_of(number, 50.0)))
            reply = connection.getresponse()
            body = reply.read()
            if reply.status == 200:
                answered.append(json.loads(body)["id"])
            number += 1
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()


def test_every_answer_that_a_client_got_is_in_the_audit_once_after_a_kill(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    bundle = make_bundle(tmp_path / "bundle", model_of(0))
    service = start(root, bundle)
    answers: list[list[str]] = [[] for _ in range(8)]
    clients = [
        threading.Thread(target=_ask_until_it_dies, args=(service.port, n * 1_000_000, told))
        for n, told in enumerate(answers)
    ]
    for client in clients:
        client.start()
    time.sleep(0.7)
    service.process.kill()
    service.process.wait()
    for client in clients:
        client.join()
    told = [name for of_one in answers for name in of_one]
    assert len(told) > 20, "the load was too light to mean anything"

    audit = root / ".crm" / "audit"
    assert recover(audit)
    requests = [event["data"]["request"] for event in kept(audit)]
    assert len(set(requests)) == len(requests)
    assert set(told) <= set(requests)
    assert len(requests) - len(told) <= len(clients), "only what was in flight may be there without an answer"

    recover(root / ".crm" / "audit-inputs")
    vault = FileVault(root / "key")
    sealed = {o.event_id for path in segments(root / ".crm" / "audit-inputs", "inputs") for o in vault.open(path)}
    assert sealed >= {event["id"] for event in kept(audit)}


def test_the_next_process_closes_what_the_killed_one_left_and_goes_on(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    bundle = make_bundle(tmp_path / "bundle", model_of(0))
    service = start(root, bundle)
    assert service.infer(payment_of(1, 20.0))[0] == 200
    service.process.kill()
    service.process.wait()
    service = start(root, bundle)
    assert service.infer(payment_of(2, 20.0))[0] == 200
    service.stop()
    assert [event["data"]["request"] for event in kept(root / ".crm" / "audit")] == ["client-1", "client-2"]
    assert not list((root / ".crm" / "audit").glob("*.open"))


def test_no_input_stands_in_the_clear_in_any_file_but_what_the_policy_names(tmp_path: Path) -> None:
    root = make_repo(tmp_path / "repo")
    service = start(root, make_bundle(tmp_path / "bundle", model_of(0)))
    sent = payment_of(4711, 123.25)
    sent["inputs"].append({"name": "password", "shape": [1], "datatype": "BYTES", "data": ["hunter2"]})
    assert service.infer(sent)[0] == 200
    service.stop()
    written = b"".join(path.read_bytes() for path in (root / ".crm").rglob("*") if path.is_file())
    assert b"DE0000" not in written
    assert b"hunter2" not in written
    assert b"password" not in written
    (event,) = kept(root / ".crm" / "audit")
    assert event["data"]["inputs"] == {"payment_id": "***", "paid_at": "***", "amount_eur": [123.25], "iban": "***"}
    (path,) = segments(root / ".crm" / "audit-inputs", "inputs")
    (opened,) = FileVault(root / "key").open(path)
    assert opened.inputs["iban"] == ["DE00000000000000004711"]
    assert "password" not in opened.inputs
    assert orjson.loads(path.read_bytes().splitlines()[1])["id"] == event["id"]
