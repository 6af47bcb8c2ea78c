"""An ASGI application in an event loop of its own, for servers that answer in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, MutableMapping
from typing import Any

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.app import App, Headers

_STOP_S = 20
Message = MutableMapping[str, Any]


class AsgiThread:
    """Runs `app` from its start to its stop in one daemon thread.

    Args:
        app: the application.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._life: asyncio.Queue[Message] = asyncio.Queue()
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crm-endpoint", daemon=True)

    def start(self) -> None:
        """Start the application.

        Raises:
            PlatformError: it does not start; the log has the reason.
        """
        self._thread.start()
        asyncio.run_coroutine_threadsafe(
            self._app({"type": "lifespan"}, self._life.get, self._told.put),
            self._loop,
        )
        told = self.wait(self._tell("lifespan.startup"))
        if told["type"] != "lifespan.startup.complete":
            raise PlatformError(f"the service does not start: {told['message']}", "see the log above")

    def stop(self) -> None:
        """Stop the application, and then its thread."""
        asyncio.run_coroutine_threadsafe(self._tell("lifespan.shutdown"), self._loop).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` returns; it runs in the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def answer(self, scope: dict[str, Any], body: bytes) -> tuple[int, Headers, bytes]:
        """(status, headers, body) of one HTTP request.

        Args:
            scope: method, path, query_string, headers and client, as ASGI has them.
            body: of the request.
        """
        status, headers, replied = 500, [], bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
            else:
                replied.extend(message.get("body", b""))

        self.wait(self._app({"type": "http", **scope}, receive, send))
        return status, headers, bytes(replied)

    async def _tell(self, what: str) -> Message:
        await self._life.put({"type": what})
        return await self._told.get()
