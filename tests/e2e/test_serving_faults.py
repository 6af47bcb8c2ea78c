"""The service under faults, as its clients count them: kills, drains, roll-outs, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest
from service_process import (
    INFER,
    PAYMENT,
    ServiceProcess,
    Tally,
    answer,
    bundle,
    free_port,
    keep_asking,
    request_bytes,
    running,
    service_repo,
)

pytestmark = pytest.mark.e2e
CALLERS = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("service")
    service_repo(found / "repo")
    bundle(found / "one")
    bundle(found / "two", "2")
    return found


async def _until(service: ServiceProcess, done: object) -> None:
    deadline = time.monotonic() + 120
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, service.said
        await asyncio.sleep(0.05)


def test_of_a_killed_worker_only_what_was_in_flight_fails(folder: Path) -> None:
    async def load(service: ServiceProcess) -> Tally:
        tally, stop = Tally(), asyncio.Event()
        callers = [asyncio.create_task(keep_asking(service.port, stop, tally)) for _ in range(CALLERS)]
        await _until(service, lambda: tally.statuses[200] > 2_000)
        first = service.workers()
        os.kill(first[0], signal.SIGKILL)
        await _until(service, lambda: len(service.workers()) == 2 and first[0] not in service.workers())
        answered = tally.statuses[200]
        await _until(service, lambda: tally.statuses[200] > answered + 2_000)
        stop.set()
        await asyncio.gather(*callers)
        return tally

    with running(folder / "repo", folder / "one", ["serving.workers=2"]) as service:
        tally = asyncio.run(load(service))
        told = [
            line for line in service.ask("/metrics")[1].decode().splitlines() if 'requests_total{code="200"' in line
        ]
    assert set(tally.statuses) == {200}
    assert 0 < len(tally.lost) <= CALLERS
    assert [float(line.split()[1]) for line in told] == [pytest.approx(tally.statuses[200], abs=CALLERS)]


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_in_the_middle_of_the_load_loses_no_request(folder: Path, workers: int) -> None:
    async def load(service: ServiceProcess) -> Tally:
        tally, stop = Tally(), asyncio.Event()
        callers = [asyncio.create_task(keep_asking(service.port, stop, tally)) for _ in range(CALLERS)]
        await _until(service, lambda: tally.statuses[200] > 10_000)
        before = tally.statuses[200]
        service.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert (await asyncio.to_thread(service.ask, "/v2/health/ready"))[0] == 503
        await asyncio.to_thread(service.process.wait, 60)
        assert tally.statuses[200] > before
        stop.set()
        await asyncio.gather(*callers)
        return tally

    with running(folder / "repo", folder / "one", [f"serving.workers={workers}"]) as service:
        tally = asyncio.run(load(service))
    assert (set(tally.statuses), tally.lost) == ({200}, [])
    assert tally.closes >= CALLERS
    assert service.process.returncode == 0, service.said


class Balancer:
    """What a Kubernetes Service is to its pods: each new connection goes to one that said it was ready.

    Readiness is asked every 0.2 s, and known to new connections 0.3 s later.
    """

    def __init__(self, ports: list[int]) -> None:
        self._ports, self._ready, self._next = ports, list[int](), 0

    async def probe(self) -> None:
        while True:
            found = []
            for port in self._ports:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(b"GET /v2/health/ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
                    if (await answer(reader))[0] == 200:
                        found.append(port)
                    writer.close()
                except (OSError, asyncio.IncompleteReadError):
                    continue
            asyncio.get_running_loop().call_later(0.3, setattr, self, "_ready", found)
            await asyncio.sleep(0.2)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        port = self._ready[self._next % len(self._ready)]
        onward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


def test_a_new_champion_is_rolled_in_without_a_failed_request(folder: Path) -> None:
    """As a rolling update of pods behind a Service: the new one is ready, then the old one gets SIGTERM."""

    async def roll(old: ServiceProcess) -> Tally:
        other = free_port()
        balancer = Balancer([old.port, other])
        probe = asyncio.create_task(balancer.probe())
        front = await asyncio.start_server(balancer.connect, "127.0.0.1", 0)
        await asyncio.sleep(1)
        port, tally, stop = front.sockets[0].getsockname()[1], Tally(), asyncio.Event()
        callers = [asyncio.create_task(keep_asking(port, stop, tally)) for _ in range(CALLERS)]
        await _until(old, lambda: tally.versions["1"] > 1_000)
        with running(folder / "repo", folder / "two", port=other, ready=False) as new:
            await asyncio.to_thread(new.wait_ready)
            await asyncio.sleep(1)
            old.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(old.process.wait, 60)
            answered = tally.versions["2"]
            await _until(new, lambda: tally.versions["2"] > answered + 1_000)
            stop.set()
            await asyncio.gather(*callers)
        probe.cancel()
        front.close()
        return tally

    with running(folder / "repo", folder / "one", ["serving.drain_s=3"]) as old:
        tally = asyncio.run(roll(old))
    assert (set(tally.statuses), tally.lost) == ({200}, [])
    assert set(tally.versions) == {"1", "2"}


def test_ten_thousand_connections_opened_and_left_hinder_nobody(folder: Path) -> None:
    many = 10_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < many + 500:
        pytest.skip(f"at most {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def load(service: ServiceProcess) -> tuple[Tally, float, float, int]:
        before = service.resident_mb()
        left = []
        for _ in range(many // 100):
            left += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", service.port) for _ in range(100)))
        for _, writer in left[: many // 2]:
            writer.write(b"POST " + INFER.encode() + b" HTTP/1.1\r\n")
        tally, stop = Tally(), asyncio.Event()
        callers = [asyncio.create_task(keep_asking(service.port, stop, tally)) for _ in range(CALLERS)]
        await _until(service, lambda: tally.statuses[200] > 2_000)
        during = service.resident_mb()
        stop.set()
        await asyncio.gather(*callers)
        closed = 0
        for reader, writer in left:
            try:
                closed += not await asyncio.wait_for(reader.read(1), 60)
            except ConnectionError:
                closed += 1
            writer.close()
        return tally, before, during, closed

    with running(folder / "repo", folder / "one", ["serving.head_timeout_s=20"]) as service:
        tally, before, during, closed = asyncio.run(load(service))
        time.sleep(1)
        sockets = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
    print(f"resident {before:.0f} MB, with {many} open {during:.0f} MB")  # noqa: T201
    assert (set(tally.statuses), tally.lost, closed) == ({200}, [], many)
    assert during - before < 200
    assert sockets < 100


async def _pipelined(port: int, count: int) -> None:
    """`count` requests on 8 connections."""

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        payload = request_bytes(json.dumps(PAYMENT).encode())
        for _ in range(count // 8):
            writer.write(payload)
            assert (await answer(reader))[0] == 200
        writer.close()

    await asyncio.gather(*(ask() for _ in range(8)))


@pytest.mark.parametrize("run", [1, 2, 3])
def test_memory_stays_over_a_hundred_thousand_requests(folder: Path, run: int) -> None:
    with running(
        folder / "repo", folder / "one", ["serving.audit.kind=best_effort", "serving.audit.queue=1000"]
    ) as service:
        asyncio.run(_pipelined(service.port, 10_000))
        before = service.resident_mb()
        asyncio.run(_pipelined(service.port, 100_000))
        grown = service.resident_mb() - before
    print(f"run {run}: {grown:+.1f} MB over {before:.0f} MB")  # noqa: T201
    assert grown <= 5


_SLOW = """
    def decide(self, *, scores, columns):
        time.sleep(0.005)
        return super().decide(scores=scores, columns=columns)
"""


def test_at_twice_what_it_can_answer_the_service_answers_in_time_or_refuses_at_once(
    folder: Path, tmp_path: Path
) -> None:
    """Arrivals are open: at 400 a second, whatever came back, each on a connection of its own."""
    tally = Tally()

    async def one(port: int) -> None:
        arrived = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes())
        status, headers, _ = await answer(reader)
        assert status == 200 or headers["retry-after"] == "1"
        tally.statuses[status] += 1
        tally.seconds.setdefault(status, []).append(time.perf_counter() - arrived)
        writer.close()

    async def arrivals(port: int) -> None:
        begun, sent = time.perf_counter(), []
        for i in range(4_000):
            await asyncio.sleep(max(0, begun + i / 400 - time.perf_counter()))
            sent.append(asyncio.create_task(one(port)))
        print(f"{4_000 / (time.perf_counter() - begun):.0f} arrivals a second")  # noqa: T201
        await asyncio.gather(*sent)

    repo = service_repo(tmp_path / "slow", _SLOW)
    with running(repo, folder / "one", ["serving.queue=16", "serving.deadline_ms=1000"]) as service:
        asyncio.run(arrivals(service.port))
    seconds = {status: sorted(found) for status, found in tally.seconds.items()}
    told = {status: (found[len(found) // 2], found[-1]) for status, found in seconds.items()}
    print(dict(tally.statuses), told)  # noqa: T201
    assert set(tally.statuses) == {200, 429}
    assert tally.statuses[200] > 400
    assert seconds[200][-1] < 1
    assert told[429][0] < told[200][0]
