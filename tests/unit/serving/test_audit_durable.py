"""The durable trail: on disk before the answer, or 503."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit_parts import counted, durable, event_of, inputs_of, kept, key_file, metrics_of

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.endpoint import Event
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.segments import segments


async def _keep_all(trail: Any, events: list[Event]) -> list[BaseException | None]:
    return await asyncio.gather(*(trail.keep(event) for event in events), return_exceptions=True)


def test_events_that_come_together_share_one_write_and_are_on_disk_before_the_answer(tmp_path: Path) -> None:
    async def run() -> None:
        metrics, events = metrics_of(), [event_of() for _ in range(200)]
        trail = durable(tmp_path / "audit", metrics)
        await trail.start()
        seen: list[int] = []

        async def keep(event: Event) -> None:
            await trail.keep(event)
            seen.append(len(kept(tmp_path / "audit")))

        await asyncio.gather(*(keep(event) for event in events))
        assert seen[0] == 200, "one write for all that came in one turn of the loop"
        assert [e["id"] for e in kept(tmp_path / "audit")] == [e.event_id for e in events]
        assert counted(metrics, "crm_audit_written") == 200
        await trail.stop()

    asyncio.run(run())


def test_a_clean_stop_closes_the_files_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    async def run() -> None:
        trail = durable(tmp_path / "audit", metrics_of(), inputs_of(tmp_path / "inputs", key_file(tmp_path)))
        await trail.start()
        await trail.keep(event_of())
        await trail.stop()

    asyncio.run(run())
    files = [*segments(tmp_path / "audit", "events"), *segments(tmp_path / "inputs", "inputs")]
    assert [path.suffix for path in files] == [".jsonl", ".jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700


def test_a_service_without_requests_leaves_no_file(tmp_path: Path) -> None:
    async def run() -> None:
        trail = durable(tmp_path / "audit", metrics_of())
        await trail.start()
        await trail.stop()

    asyncio.run(run())
    assert list((tmp_path / "audit").iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(PlatformError, match="cannot be written"):
        asyncio.run(durable(tmp_path / "audit", metrics_of()).start())


@pytest.mark.parametrize("sealed", [False, True])
def test_a_full_file_refuses_with_503_leaves_no_half_line_and_goes_on_once_there_is_room(
    tmp_path: Path, sealed: bool
) -> None:
    async def run() -> None:
        metrics = metrics_of()
        inputs = inputs_of(tmp_path / "inputs", key_file(tmp_path)) if sealed else None
        trail = durable(tmp_path / "audit", metrics, inputs)
        await trail.start()
        await trail.keep(first := event_of())
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            refused = await _keep_all(trail, [event_of() for _ in range(20)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [error.status for error in refused if isinstance(error, Refusal)] == [503] * 20
        await trail.keep(last := event_of())
        await trail.stop()
        assert [e["id"] for e in kept(tmp_path / "audit")] == [first.event_id, last.event_id]
        assert counted(metrics, "crm_audit_written") == 2
        assert all(path.read_bytes().endswith(b"\n") for path in tmp_path.glob("*/*.jsonl"))

    asyncio.run(run())


_ON_A_SMALL_DISK = """
import asyncio, pathlib, sys
sys.path.insert(0, {tests!r})
from audit_parts import durable, event_of, inputs_of, kept, key_file, metrics_of
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.segments import lines, segments

disk = pathlib.Path({disk!r})

async def run():
    key = key_file(pathlib.Path({scratch!r}))
    trail = durable(disk / "audit", metrics_of(), inputs_of(disk / "inputs", key))
    await trail.start()
    answered = []

    async def ask(times):
        refused = 0
        for _ in range(times):
            event = event_of({{"note": ["x" * 500]}})
            try:
                await trail.keep(event)
                answered.append(event.event_id)
            except Refusal as refusal:
                assert refusal.status == 503
                refused += 1
        return refused

    (disk / "ballast").write_bytes(b"x" * 40_000)
    assert await ask(300) > 0, "the disk was never full"
    before = len(answered)
    assert before > 0
    (disk / "ballast").unlink()
    assert await ask(5) == 0
    await trail.stop()
    assert [e["id"] for e in kept(disk / "audit")] == answered
    sealed = {{o.event_id for p in segments(disk / "inputs", "inputs") for o in trail._inputs.vault.open(p)}}
    assert sealed >= set(answered)
    print("well", before, len(answered))

asyncio.run(run())
"""


def test_a_disk_that_is_really_full_refuses_and_every_answered_event_is_there_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = _ON_A_SMALL_DISK.format(tests=str(Path(__file__).parent), disk=str(disk), scratch=str(tmp_path / "keys"))
    mounted = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=128k none "{disk}" && exec "$@"']
    try:
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mounts in a namespace here")
    done = subprocess.run(
        [*mounted, "sh", sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("well"), done.stderr


def test_a_file_is_closed_at_its_size_and_at_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        trail = durable(tmp_path / "audit", metrics_of(), limit=2_000)
        await trail.start()
        for _ in range(10):
            await trail.keep(event_of())
        closed = list((tmp_path / "audit").glob("*.jsonl"))
        assert len(closed) >= 2
        assert all(path.stat().st_size <= 2_000 for path in closed)
        monkeypatch.setattr(trail._events, "_age_s", 0.0)
        await asyncio.sleep(1.5)
        assert not list((tmp_path / "audit").glob("*.open"))
        await trail.keep(event_of())
        await trail.stop()
        assert len(kept(tmp_path / "audit")) == 11

    asyncio.run(run())


def test_a_full_disk_is_a_503_over_http_and_the_service_goes_on_after_it(
    tmp_path: Path, make_app: Callable[..., App], served: Callable[[App], Any], payment: dict[str, Any]
) -> None:
    app = make_app()
    app.endpoint.trail = durable(tmp_path / "audit", app.metrics)
    client = served(app)
    assert client.infer(payment)[0] == 200
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        status, told = client.infer(payment)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (status, told) == (503, {"error": "the answer could not be recorded"})
    assert client.infer(payment)[0] == 200
    assert len(kept(tmp_path / "audit")) == 2


def test_a_whole_number_of_any_size_is_answered_and_sealed(
    tmp_path: Path, make_app: Callable[..., App], served: Callable[[App], Any], payment: dict[str, Any]
) -> None:
    app = make_app()
    inputs = inputs_of(tmp_path / "inputs", key_file(tmp_path))
    app.endpoint.trail = durable(tmp_path / "audit", app.metrics, inputs)
    client = served(app)
    payment["inputs"][0] |= {"datatype": "FP64", "data": [1e21]}
    status, _ = client.infer(payment)
    assert status in (200, 422)
    assert len(kept(tmp_path / "audit")) == (status == 200)


def test_two_requests_of_one_id_are_two_events(
    tmp_path: Path, make_app: Callable[..., App], served: Callable[[App], Any], payment: dict[str, Any]
) -> None:
    app = make_app()
    app.endpoint.trail = durable(tmp_path / "audit", app.metrics)
    client = served(app)
    for _ in range(2):
        assert client.infer({**payment, "id": "mine"})[1]["id"] == "mine"
    first, second = kept(tmp_path / "audit")
    assert first["id"] != second["id"]
    assert first["data"]["request"] == second["data"]["request"] == "mine"


def test_the_audit_is_not_left_open_by_another_process_of_the_same_id(tmp_path: Path) -> None:
    """In a container each worker has the process id of the one that was killed before it."""
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / f"events-{10**18}-{os.getpid():08x}.open").write_bytes(b'{"id":"a"}\n{"id":"cut')
    asyncio.run(_start_and_stop(folder))
    assert [e["id"] for e in kept(folder)] == ["a"]
    assert not list(folder.glob("*.open"))


async def _start_and_stop(folder: Path) -> None:
    trail = durable(folder, metrics_of())
    await trail.start()
    await trail.stop()
