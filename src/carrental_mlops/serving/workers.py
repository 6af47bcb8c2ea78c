"""Several processes on one port: a parent that holds the listening socket, and starts a worker anew when one dies.

All workers accept from the parent's one socket. So connections that a killed worker had not accepted are accepted by
the others; sockets of their own (SO_REUSEPORT) would lose them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile

from prometheus_client.multiprocess import mark_process_dead

from carrental_mlops.errors import ExitCode
from carrental_mlops.serving.app import App
from carrental_mlops.serving.telemetry import SHARED

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 30


def supervise(command: list[str], listener: socket.socket, count: int) -> int:
    """Keep `count` workers answering on `listener` until SIGTERM or SIGINT.

    None lets a client in before all are warm; a worker that does not start the first time ends them all.

    Args:
        command: that starts one; `--worker LISTENER CHANNEL`, two file descriptors, is added.
        listener: bound.
        count: how many.

    Returns:
        Exit code: 0 after SIGTERM, 130 after SIGINT, or that of the worker that did not start.
    """
    shared = tempfile.mkdtemp(prefix="crm-metrics-")
    try:
        return asyncio.run(_Parent(command, listener, count, shared).run())
    finally:
        shutil.rmtree(shared, ignore_errors=True)


class _Parent:
    def __init__(self, command: list[str], listener: socket.socket, count: int, shared: str) -> None:
        self._command, self._listener, self._count = command, listener, count
        self._environment = os.environ | {SHARED: shared, "PROMETHEUS_MULTIPROC_DIR": shared}
        self._running: dict[asyncio.subprocess.Process, socket.socket] = {}
        self._cold = count
        self._all_warm = asyncio.Event()
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        await asyncio.gather(*(self._keep() for _ in range(self._count)))
        return self._code

    async def _keep(self) -> None:
        """One place, filled until the end."""
        pause = 1
        while not self._stopping.is_set():
            warm, code = await self._one()
            if self._stopping.is_set():
                return
            if not warm and not self._all_warm.is_set():
                self._code = code or 1
                self._stop(signal.SIGTERM)
                return
            pause = 1 if warm else min(2 * pause, _LONGEST_PAUSE_S)
            log.error("a worker ended with %s; another one starts", code)
            if not warm:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)

    async def _one(self) -> tuple[bool, int]:
        """A worker from start to end: whether it was warm, and its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            numbers = (self._listener.fileno(), theirs.fileno())
            process = await asyncio.create_subprocess_exec(
                *self._command,
                "--worker",
                *map(str, numbers),
                pass_fds=numbers,
                env=self._environment,
                start_new_session=True,
            )
        self._running[process] = ours
        if self._stopping.is_set():
            process.terminate()
        with ours:
            ours.setblocking(False)
            warm = bool(await _received(ours))
            if warm:
                await self._let_in(ours)
            code = await process.wait()
        mark_process_dead(process.pid, self._environment[SHARED])  # type: ignore[no-untyped-call]
        del self._running[process]
        return warm, code

    async def _let_in(self, channel: socket.socket) -> None:
        if not self._all_warm.is_set():
            self._cold -= 1
            if not self._cold:
                self._all_warm.set()
                log.info("ready: %s workers", self._count)
            waits = [asyncio.ensure_future(e.wait()) for e in (self._all_warm, self._stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self._stopping.is_set():
            channel.close()
            return
        with contextlib.suppress(OSError):
            channel.send(b"!")

    def _stop(self, number: int) -> None:
        if number == signal.SIGINT and not self._stopping.is_set():
            self._code = ExitCode.STOPPED
        self._stopping.set()
        self._listener.close()
        for process, channel in self._running.items():
            with contextlib.suppress(OSError):
                channel.send(b".")
            if process.returncode is None:
                process.send_signal(number)


async def _received(channel: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(channel, 1)
    except ConnectionError:
        return b""


def work(app: App, listener: socket.socket, channel: socket.socket) -> None:
    """One worker: answers once the parent lets clients in, and drains when the parent is gone."""
    from carrental_mlops.serving.server import serve

    channel.setblocking(False)

    async def wait_for_all() -> None:
        channel.send(b"!")
        if await _received(channel) != b"!":
            os._exit(0)
        asyncio.get_running_loop().add_reader(channel, heard)

    def heard() -> None:
        """The parent is stopping, and sends a signal next, or is gone."""
        asyncio.get_running_loop().remove_reader(channel)
        if not channel.recv(1, socket.MSG_PEEK):
            os.kill(os.getpid(), signal.SIGTERM)

    def all_end() -> bool:
        try:
            channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    app.before_ready = wait_for_all
    serve(app, listener, all_end)
