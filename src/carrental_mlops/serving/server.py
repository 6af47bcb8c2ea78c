"""The process that answers: uvicorn, with a bounded queue at the protocol and a drain that loses nothing."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from carrental_mlops.serving.app import App

if TYPE_CHECKING:
    from carrental_mlops.serving.grpc_server import GrpcServer

_GRACE_S = 20
"""Seconds that requests in work have once the server closes."""
_MAX_HEADERS = 32 << 10
"""Bytes that a request may send before its body."""


def protocol_of(app: App) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, which counts the requests of the worker as their headers come.

    A counter in the app would never fire: the model does not yield, so each request is done before the next is read.
    """
    settings = app.endpoint.settings

    class Bounded(HttpToolsProtocol):
        """Counts requests, and closes connections that send nothing or only headers."""

        waiting = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._head = 0
            self._expect_request()

        def data_received(self, data: bytes) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            super().data_received(data)
            if idle and (self.cycle is None or self.cycle.response_complete):
                self._head += len(data)
                if self._head > _MAX_HEADERS:
                    self.transport.close()
                elif self.timeout_keep_alive_task is None:
                    self._expect_request()

        def on_headers_complete(self) -> None:
            self._head = 0
            super().on_headers_complete()
            scope = cast("dict[str, Any]", self.scope)
            if scope["path"] in app.infer_paths:
                scope["crm.shed"] = Bounded.waiting >= settings.queue
                scope["crm.done"] = _done
                Bounded.waiting += 1

        def _expect_request(self) -> None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _done() -> None:
        Bounded.waiting -= 1

    return Bounded


class Server(uvicorn.Server):
    """On SIGTERM the service says that it is not ready, goes on answering for `drain_s`, and only then closes.

    The window is longer than Kubernetes takes to take the pod out of its endpoints, so no accepted request is lost.
    """

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app
        self._grpc: GrpcServer | None = None

    async def startup(self, sockets: Any = None) -> None:
        """As uvicorn's, and gRPC beside it; keeps the loop, for `handle_exit` runs in a signal handler."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and self._app.endpoint.settings.grpc_port is not None:
            from carrental_mlops.serving.grpc_server import GrpcServer

            self._grpc = GrpcServer(self._app)
            await self._grpc.start()

    async def shutdown(self, sockets: Any = None) -> None:
        """As uvicorn's, after gRPC's calls in work are answered."""
        if self._grpc is not None:
            await self._grpc.stop(_GRACE_S)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First SIGTERM: drain. SIGINT, or a second signal: close at once."""
        if sig != signal.SIGTERM or self._app.draining:
            super().handle_exit(sig, frame)
            return
        self._app.draining = True
        self._captured_signals.append(sig)
        seconds = self._app.endpoint.settings.drain_s
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(seconds, self._close))

    def _close(self) -> None:
        self.should_exit = True


def config_of(app: App) -> uvicorn.Config:
    """How uvicorn runs `app`."""
    settings = app.endpoint.settings
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol_of(app),
        ws="none",
        access_log=False,
        log_level="warning",
        lifespan="on",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE_S,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )


def serve(app: App) -> None:
    """Answer until SIGTERM or SIGINT."""
    Server(config_of(app), app).run()
