"""A service that is one queue with one server and a fixed time of service, so that what it holds is known."""

from __future__ import annotations

import asyncio
import json
import sys

import uvicorn

SECONDS = float(sys.argv[2]) if __name__ == "__main__" else 0.0


class App:
    """Answers one request after the other, each after `SECONDS`."""

    def __init__(self) -> None:
        self.free_at = 0.0

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        more = scope["method"] == "POST"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        reply = await self.answer(scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    async def answer(self, path: str, body: bytes) -> bytes:
        if not path.endswith("/infer"):
            fields = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
            return json.dumps({"name": "queue", "versions": ["1"], "inputs": fields, "parameters": {}}).encode()
        now = asyncio.get_running_loop().time()
        self.free_at = max(self.free_at, now) + SECONDS
        await asyncio.sleep(self.free_at - now)
        outputs = [{"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]}]
        return json.dumps({"id": json.loads(body)["id"], "outputs": outputs}).encode()


if __name__ == "__main__":
    uvicorn.run(App(), port=int(sys.argv[1]), log_level="warning", lifespan="on")
