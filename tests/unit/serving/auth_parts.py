"""What a door says to a request."""

from __future__ import annotations

import asyncio

from carrental_mlops.serving.auth import Door


def asked(door: Door, authorization: str, times: int = 1) -> str:
    async def ask() -> str:
        for _ in range(times):
            found = await door.caller([(b"authorization", authorization.encode())], ("127.0.0.1", 1))
        return found

    return asyncio.run(ask())
