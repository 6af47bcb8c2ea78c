"""The generated clients ask a real service, hold the deadline, retry what was not accepted, and fall back."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carrental_mlops.cli.main import main
from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.auth import BearerDoor
from carrental_mlops.serving.clients import generate, read_document
from carrental_mlops.serving.openapi import openapi

ROW = {"customer_id": 7, "paid_at": datetime(2026, 3, 1, 10, 30, tzinfo=UTC), "amount_eur": 120.5}
TOKEN = "correct-horse-battery-staple"


def test_a_port_that_does_not_speak_http_is_a_platform_error() -> None:
    def greet(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        with pytest.raises(PlatformError, match="does not answer"):
            read_document(f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.json")


@pytest.fixture
def document(make_app: Callable[..., App]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(openapi(make_app().endpoint)))
    return found


@pytest.fixture
def module(document: dict[str, Any], tmp_path: Path) -> Any:
    made = generate(document, "python")
    path = tmp_path / made.name
    path.write_text(made.text)
    spec = importlib.util.spec_from_file_location(made.name[:-3], path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


class Flaky:
    """Answers the statuses in turn, then 200; keeps the ids that it was sent."""

    def __init__(self, *statuses: int, pause_s: float = 0) -> None:
        self.ids: list[str] = []
        left, flaky = list(statuses), self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                flaky.ids.append(sent["id"])
                time.sleep(pause_s)
                status = left.pop(0) if left else 200
                outputs = {"score": [0.5], "decision": ["accept"], "reason": [""]}
                told = {
                    "id": sent["id"],
                    "model_name": "payments",
                    "model_version": "3",
                    "outputs": [{"name": n, "data": v} for n, v in outputs.items()],
                }
                body = json.dumps(told if status == 200 else {"error": "not now"}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the client may be gone
                    self.wfile.write(body)

            def log_message(self, *told: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def flaky() -> Iterator[Callable[..., Flaky]]:
    made: list[Flaky] = []

    def make(*statuses: int, pause_s: float = 0) -> Flaky:
        made.append(Flaky(*statuses, pause_s=pause_s))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def nowhere() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_python_client_is_answered_by_a_real_service(
    make_app: Callable[..., App], served: Any, module: Any, tmp_path: Path, payment: dict[str, Any]
) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    app = make_app()
    plain = served(App(app.endpoint, app.metrics, BearerDoor(tmp_path / "tokens")))
    client = module.Client(f"http://127.0.0.1:{plain.port}", deadline_s=5, token=lambda: TOKEN)
    answer = client.score({**ROW, "rental_days": 3}, request_id="payment-1")
    raw = plain.infer(payment, authorization=f"Bearer {TOKEN}")[1]["outputs"]
    assert (answer.score, answer.decision, answer.reason) == tuple(output["data"][0] for output in raw)
    assert (answer.id, answer.model_version, answer.is_fallback) == ("payment-1", "3", False)
    many = client.score_many([{**ROW, "rental_days": 3}, {**ROW, "note": "second"}, ROW])
    assert many[0].score == answer.score and many[1].score == many[2].score and len(many) == 3
    assert client.score_many([]) == []


def test_a_refusal_names_the_field_and_is_neither_retried_nor_replaced(
    make_app: Callable[..., App], served: Any, module: Any
) -> None:
    plain = served(make_app())
    fallback = {"score": 0.0, "decision": "accept", "reason": "fallback"}
    client = module.Client(f"http://127.0.0.1:{plain.port}", deadline_s=5, fallback=fallback)
    with pytest.raises(module.ServiceError, match="422") as refused:
        client.score({**ROW, "amount_eur": -1})
    assert refused.value.field == "amount_eur" and not isinstance(refused.value, module.Unavailable)
    assert client.score(ROW).is_fallback is False


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_not_accepted_is_sent_again_under_the_same_id(
    module: Any, flaky: Callable[..., Flaky], status: int
) -> None:
    service = flaky(status, status)
    answer = module.Client(service.url, deadline_s=5).score(ROW)
    assert len(service.ids) == 3 and set(service.ids) == {answer.id} and not answer.is_fallback


@pytest.mark.parametrize("status", [500, 504])
def test_what_may_have_been_answered_is_not_sent_again(module: Any, flaky: Callable[..., Flaky], status: int) -> None:
    service = flaky(status)
    with pytest.raises(module.Unavailable) as refused:
        module.Client(service.url, deadline_s=5).score(ROW)
    assert len(service.ids) == 1 and refused.value.status == status


def test_a_service_that_hangs_ends_at_the_deadline_with_the_fallback(module: Any, flaky: Callable[..., Flaky]) -> None:
    service = flaky(pause_s=1.5)
    fallback = {"score": 0.0, "decision": "review", "reason": "no answer"}
    client = module.Client(service.url, deadline_s=0.3, fallback=fallback)
    started = time.monotonic()
    answer = client.score(ROW)
    assert 0.2 < time.monotonic() - started < 1.0 and len(service.ids) == 1
    assert answer.is_fallback and answer.decision == "review" and answer.model_version == ""


def test_a_service_that_is_down_ends_in_the_callback_or_an_error(module: Any) -> None:
    url = nowhere()
    made = module.Client(
        url, deadline_s=0.2, fallback=lambda row: {"score": 0.0, "decision": str(row["customer_id"]), "reason": "down"}
    )
    started = time.monotonic()
    assert made.score(ROW).decision == "7"
    assert time.monotonic() - started < 1
    with pytest.raises(module.Unavailable, match="no connection"):
        module.Client(url).score(ROW, deadline_s=0.1)


def test_a_service_that_comes_up_within_the_deadline_is_reached(
    module: Any, make_app: Callable[..., App], served: Any
) -> None:
    app = make_app()
    later = threading.Timer(0.3, lambda: served(app))
    later.start()
    assert module.Client(f"http://127.0.0.1:{app.endpoint.settings.port}", deadline_s=8).score(ROW).score > 0
    later.join()


def test_an_idle_connection_that_the_service_closed_is_opened_again(module: Any, flaky: Callable[..., Flaky]) -> None:
    service = flaky()
    client = module.Client(service.url, deadline_s=5)
    client.score(ROW)
    client._local.connection.sock.shutdown(socket.SHUT_RDWR)
    assert client.score(ROW).score == 0.5
    client.close()


def test_the_python_client_passes_mypy_strict_and_knows_which_fields_are_optional(
    document: dict[str, Any], tmp_path: Path
) -> None:
    made = generate(document, "python")
    (tmp_path / made.name).write_text(made.text)
    (tmp_path / "good.py").write_text(
        "from payments_client import Client\n"
        "from datetime import datetime\n"
        "Client('http://x').score({'customer_id': 1, 'paid_at': datetime.now(), 'amount_eur': 2.0}).decision.upper()\n"
    )
    (tmp_path / "bad.py").write_text(
        "from payments_client import Client\n"
        "ask = Client('http://x').score\n"
        "ask({'customer_id': 1, 'paid_at': ''})\n"
        "ask({'customer_id': 'x', 'paid_at': '', 'amount_eur': 1.0})\n"
    )
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n")

    def checked(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", name]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert checked("good.py").returncode == 0, checked("good.py").stdout
    told = checked("bad.py").stdout
    assert 'Missing key "amount_eur"' in told and 'TypedDict item "customer_id" has type "int"' in told


def test_nothing_of_a_hostile_document_becomes_code(document: dict[str, Any]) -> None:
    document["info"]["title"] = 'x"""\nimport os; os.abort()  # */ process.exit()'
    document["x-crm-fields"][0]['x"""\nimport os'] = 1
    document["x-crm-fields"][4]["pattern"] = '*/ process.exit() // """\n'
    document["components"]["securitySchemes"] = {"caller": {"type": "apiKey", "name": 'x"""\nimport os'}}
    made = generate(document, "python").text
    compile(made, "made", "exec")
    assert not [line for line in made.splitlines() if line.startswith("import os")]
    typed = generate(document, "typescript").text
    assert not [line for line in typed.splitlines() if "process.exit" in line and "*/ p" in line.split('"')[0]]
    document["x-crm-fields"][0]["name"] = "x: int = os.abort()"
    with pytest.raises(ConfigError, match="cannot be the name of a field"):
        generate(document, "python")


def test_the_command_writes_one_file_or_with_dry_run_none(
    make_app: Callable[..., App], served: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{served(make_app()).port}/openapi.json"

    def crm(*arguments: str) -> object:
        with pytest.raises(SystemExit) as done:
            main(["client", *arguments, "--openapi", url, "--out", str(tmp_path / "a")])
        return done.value.code

    assert crm("python", "--dry-run") == 0
    assert "class Client" in capsys.readouterr().out and not (tmp_path / "a").exists()
    assert crm("typescript") == 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["payments_client.ts"]


def test_a_source_that_is_no_document_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"openapi": "3.1.0"}')
    for source in (str(tmp_path / "other.json"), str(tmp_path / "missing")):
        with pytest.raises(ConfigError, match=r"curl .*openapi\.json"):
            read_document(source)
    with pytest.raises(PlatformError, match="crm serve"):
        read_document(f"{nowhere()}/openapi.json")


@pytest.mark.skipif(not (shutil.which("tsc") and shutil.which("node")), reason="needs tsc and node on PATH")
def test_the_typescript_client_compiles_strictly_and_is_answered(
    make_app: Callable[..., App], served: Any, flaky: Callable[..., Flaky], document: dict[str, Any], tmp_path: Path
) -> None:
    made = generate(document, "typescript")
    (tmp_path / made.name).write_text(made.text)
    strict = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noUnusedLocals"]
    target = ["--target", "es2022", "--lib", "es2022,dom", "--module", "es2022"]
    subprocess.run(["tsc", *strict, *target, made.name], cwd=tmp_path, check=True)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "ask.js").write_text(
        'import { Client, Unavailable } from "./payments_client.js";\n'
        "const [real, flaky, down, slow] = process.argv.slice(2);\n"
        'const row = { customer_id: 7, paid_at: new Date("2026-03-01T10:30:00Z"), amount_eur: 120.5 };\n'
        "const out = {};\n"
        'out.real = await new Client(real, { deadlineMs: 5000 }).score(row, { requestId: "p1" });\n'
        "out.refused = await new Client(real).score({ ...row, amount_eur: -1 }).catch((e) => [e.status, e.field]);\n"
        "out.flaky = await new Client(flaky, { deadlineMs: 5000 }).score(row);\n"
        'const fallback = { score: 0, decision: "review", reason: "" };\n'
        "out.down = await new Client(down, { deadlineMs: 200, fallback }).score(row);\n"
        "out.slow = await new Client(slow, { deadlineMs: 200 }).score(row).catch((e) => e instanceof Unavailable);\n"
        "console.log(JSON.stringify(out));\n"
    )
    twice, slow = flaky(503, 429), flaky(pause_s=1)
    urls = [f"http://127.0.0.1:{served(make_app()).port}", twice.url, nowhere(), slow.url]
    done = subprocess.run(["node", "ask.js", *urls], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["real"]["id"] == "p1" and told["real"]["modelVersion"] == "3" and told["real"]["score"] > 0
    assert told["refused"] == [422, "amount_eur"]
    assert len(twice.ids) == 3 and len(set(twice.ids)) == 1 and told["flaky"]["isFallback"] is False
    assert told["down"]["isFallback"] is True and told["down"]["decision"] == "review"
    assert told["slow"] is True
