"""The process that answers: uvicorn, with a drain that loses nothing.

    python -m carrental_mlops.serving.server --repo DIR --bundle DIR [--env E] [--set key=value]...

Exit codes are those of `crm`; the log is JSON lines on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from carrental_mlops.config.serving import Serving
from carrental_mlops.errors import CrmError, PlatformError
from carrental_mlops.serving.app import App
from carrental_mlops.serving.connections import connection_of

log = logging.getLogger("carrental_mlops.serving")

_LAST_ONES_S = 0.5
"""From nobody is let in to the close: for those in the kernel's queue to send their request."""
_SO_ATTACH_FILTER = 26
_SWITCH_S = 0.0005
"""How long a thread that exports spans or writes the audit may hold up the answers: a tenth of Python's default."""
_ACCEPTS, _ACCEPTS_OF_MANY = 16, 2
"""Connections accepted in one turn of the event loop. libuv accepts one a descriptor, so that under overload those not
yet accepted would wait where the queue does not see them, and be answered late instead of refused. Fewer for each of
several workers, or the first to wake takes all."""


class Server(uvicorn.Server):
    """On SIGTERM the service says that it is not ready, goes on answering for `drain_s`, and only then closes.

    The window is longer than Kubernetes takes to take the pod out of its endpoints, so no accepted request is lost.
    """

    def __init__(self, config: uvicorn.Config, app: App, alone: Callable[[], bool] = lambda: True) -> None:
        super().__init__(config)
        self._app, self._alone = app, alone

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; keeps the loop, for `handle_exit` runs in a signal handler."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First SIGTERM: drain. SIGINT, or a second signal: close at once."""
        if sig != signal.SIGTERM or self._app.draining:
            super().handle_exit(sig, frame)
            return
        self._loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Be not ready, and close after `drain_s`."""
        self._app.draining = True
        self._loop.call_later(self._app.endpoint.settings.drain_s, self._close)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, once those who were let in have been answered."""
        if self._app.draining:
            if self._alone():
                for listener in sockets or []:
                    _let_nobody_in(listener)
            else:
                for server in self.servers:
                    server.close()
            await asyncio.sleep(_LAST_ONES_S)
        await super().shutdown(sockets)

    def _close(self) -> None:
        self.should_exit = True


def _let_nobody_in(listener: socket.socket) -> None:
    """Leave new connections unanswered, so that none is in the kernel's queue, and reset, when `listener` is closed.

    That holds in every process that shares it, for good. Their clients try again after a second, and find another
    process or none. Source: socket(7), SO_ATTACH_FILTER.
    """
    if sys.platform == "linux":
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(drop_all)))


def config_of(app: App) -> uvicorn.Config:
    """How uvicorn runs `app`."""
    settings = app.endpoint.settings
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=connection_of(app),
        ws="none",
        access_log=False,
        log_config=None,
        lifespan="on",
        timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]  # handed to loop.call_later
        timeout_graceful_shutdown=20,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )


def serve(app: App, listener: socket.socket, alone: Callable[[], bool] = lambda: True) -> None:
    """Answer on `listener` until SIGTERM or SIGINT.

    Args:
        app: answers.
        listener: bound.
        alone: at the end, whether no other process goes on accepting from `listener`.

    Raises:
        CrmError: what the answers need is not there.
    """
    sys.setswitchinterval(_SWITCH_S)
    try:
        accepts = _ACCEPTS if app.endpoint.settings.workers == 1 else _ACCEPTS_OF_MANY
        Server(config_of(app), app, alone).run([listener, *(listener.dup() for _ in range(accepts - 1))])
    except SystemExit:
        if isinstance(app.failure, CrmError):
            raise app.failure from None
        raise


def bound(settings: Serving) -> socket.socket:
    """The service's address, taken; nobody is let in before the service is ready.

    Raises:
        PlatformError: another process has it.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        what = f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}"
        raise PlatformError(what, "stop what listens there, or --set serving.port=0 for a free one") from error
    return listener


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; the exit code."""
    from carrental_mlops.serving.logs import log_to_stderr

    parser = argparse.ArgumentParser(prog="carrental_mlops.serving.server", description="Answer with a bundled model.")
    parser.add_argument("--repo", type=Path, required=True, help="root of the model repo")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the model and its bundle.json")
    parser.add_argument("--env", help="environment of crm.yaml; default: the first")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE", help="repeatable")
    parser.add_argument("--worker", type=int, nargs=2, metavar="FD", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    log_to_stderr()
    try:
        return _run(given, list(sys.argv[1:] if arguments is None else arguments))
    except CrmError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace, arguments: list[str]) -> int:
    from carrental_mlops.config import load
    from carrental_mlops.config.reader import repo_config
    from carrental_mlops.serving import workers
    from carrental_mlops.serving.load import open_app

    root, sets = given.repo.resolve(), tuple(given.sets)
    if given.worker:
        listener, channel = (socket.socket(fileno=number) for number in given.worker)
        workers.work(open_app(root, given.bundle.resolve(), given.env, sets), listener, channel)
        return 0
    settings = repo_config(load(root, given.env, sets)).serving
    listener = bound(settings)
    log.info("listens on %s:%s, %s worker(s)", *listener.getsockname()[:2], settings.workers)
    if settings.workers > 1:
        command = [sys.executable, "-m", "carrental_mlops.serving.server", *arguments]
        return workers.supervise(command, listener, settings.workers)
    serve(open_app(root, given.bundle.resolve(), given.env, sets), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
