"""`crm audit` and `crm replay` as a team calls them, on a real registry."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from audit_parts import kept
from audit_repo import make_repo, model_of, payment_of

from carrental_mlops.cli.main import main
from carrental_mlops.core.repo import open_repo
from carrental_mlops.integrations.mlflow_registry import Registry, tracking_uri
from carrental_mlops.orchestration.service import make_bundle
from carrental_mlops.serving import protocol
from carrental_mlops.serving.load import open_app

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Crm = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 is champion and answered 60 requests; version 2, of another threshold, is challenger."""
    root = make_repo(tmp_path_factory.mktemp("commands") / "repo")
    registry = Registry(tracking_uri(root), "payments")
    for version, threshold in (("1", 0.5), ("2", 0.2)):
        folder = root.parent / version
        digest = model_of(0, threshold).save(folder)
        assert registry.register(folder, digest, f"run-{version}", {}, {}) == version
    assert registry.promote("1", None)
    bundle = make_bundle(open_repo(root)).folder
    asyncio.run(_answer(root, bundle))
    return root


async def _answer(root: Path, bundle: Path) -> None:
    endpoint = open_app(root, bundle).endpoint
    await endpoint.start()
    for number in range(60):
        body = orjson.dumps(payment_of(number, 33.0 * number))
        await endpoint.answer(protocol.read(body, endpoint.signature.names, 100), 1e12)
    await endpoint.stop()


@pytest.fixture
def crm(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crm:
    monkeypatch.chdir(root)

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_show_lists_the_newest_first_and_filters(crm: Crm) -> None:
    code, out, _ = crm("audit", "show", "--limit", "3")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["client-59", "client-58", "client-57"]
    blocked = json.loads(crm("audit", "show", "--decision", "block", "--json", "--limit", "100")[1])
    assert blocked
    assert {tuple(event["data"]["decision"]) for event in blocked} == {("block",)}
    assert json.loads(crm("audit", "show", "--until", "1h", "--json")[1]) == []
    assert len(json.loads(crm("audit", "show", "--since", "1h", "--json", "--limit", "500")[1])) == 60
    assert crm("audit", "show", "--since", "yesterday")[0] == 2


def test_get_shows_the_input_only_when_asked(crm: Crm) -> None:
    code, out, _ = crm("audit", "get", "client-7")
    assert code == 0
    assert "DE0000" not in out
    (event,) = json.loads(crm("audit", "get", json.loads(out)[0]["id"], "--input")[1])
    assert event["input"]["inputs"]["iban"] == ["DE00000000000000000007"]
    code, _, err = crm("audit", "get", "nobody")
    assert code == 1
    assert "Fix:" in err


def test_key_is_the_owners_alone_and_never_overwritten(crm: Crm, tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    assert crm("audit", "key", str(path))[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    code, _, err = crm("audit", "key", str(path))
    assert code == 1
    assert "is there already" in err
    assert path.read_bytes() == before
    assert crm("audit", "get", "client-7", "--input", "--key-file", str(path))[0] == 1


def test_replay_of_the_champion_changes_nothing_and_of_the_challenger_names_the_money(crm: Crm, root: Path) -> None:
    code, out, _ = crm("replay", "--model", "champion")
    assert code == 0
    assert out.strip() == "version 1: 60 requests, 60 rows, 0 with another score, 0 decided otherwise"
    told = json.loads(crm("replay", "--model", "challenger", "--json")[1])
    changed = [event["data"] for event in kept(root / ".crm" / "audit") if 0.2 <= event["data"]["score"][0] < 0.5]
    assert told["version"] == "2"
    assert told["stakes"]["accept -> block"]["rows"] == len(changed) > 0
    money = sum(data["inputs"]["amount_eur"][0] for data in changed)
    assert told["stakes"]["accept -> block"]["amount_eur"] == pytest.approx(money)
    _, table, _ = crm("replay", "--model", "2", "--since", "1h")
    assert "accept -> block" in table
    assert f"{money:.2f}" in table
    assert json.loads(crm("replay", "--model", "2", "--sample", "10", "--json")[1])["events"] == 10


def test_replay_refuses_what_does_not_go_together_and_versions_that_are_not_there(crm: Crm) -> None:
    assert crm("replay", "--model", "1", "--id", "client-7", "--sample", "3")[0] == 2
    code, _, err = crm("replay", "--model", "9")
    assert code == 1
    assert "has no version 9" in err


def test_prune_lists_what_it_would_remove(crm: Crm, root: Path) -> None:
    old = root / ".crm" / "audit" / f"events-{time.time_ns() - 40 * 86_400 * 10**9}-0.jsonl"
    old.write_bytes(b"")
    assert crm("audit", "prune", "--dry-run")[1].split() == [str(old)]
    assert crm("audit", "prune")[1].split() == [str(old)]
    assert not old.exists()


def test_ship_without_a_sink_names_the_key(crm: Crm) -> None:
    code, _, err = crm("audit", "ship", "--once")
    assert code == 1
    assert "serving.audit.sink" in err


@pytest.fixture
def collector() -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.server.ids += [event["id"] for event in batch]  # type: ignore[attr-defined]
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ids = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_ship_as_a_process_sends_everything_and_ends_on_sigterm(
    tmp_path: Path, root: Path, collector: http.server.ThreadingHTTPServer
) -> None:
    repo = make_repo(tmp_path / "repo")
    config = repo / "config" / "crm.yaml"
    sink = f"http://127.0.0.1:{collector.server_port}/"
    config.write_text(config.read_text().replace("audit: {", f'audit: {{sink: "{sink}", '))
    (repo / ".crm" / "audit").mkdir(parents=True)
    (events,) = (root / ".crm" / "audit").glob("events-*.jsonl")
    (repo / ".crm" / "audit" / events.name).write_bytes(events.read_bytes())
    call = "import sys; from carrental_mlops.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", call, "audit", "ship"]
    process = subprocess.Popen(command, cwd=repo, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not list((repo / ".crm" / "audit").glob("*.sent")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert collector.ids == [event["id"] for event in kept(repo / ".crm" / "audit")]  # type: ignore[attr-defined]
    assert len(kept(repo / ".crm" / "audit")) == 60
