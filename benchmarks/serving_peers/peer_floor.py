"""The least that a Python server can do: bare ASGI, orjson in and out, LightGBM's single-row C API."""

import numpy as np
import orjson
from peer_model import booster

from carrental_mlops.data.row import RowScorer

score = RowScorer(booster, 20)
score(np.zeros(20))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    message = await receive()
    given = orjson.loads(message["body"])
    found = score(given["inputs"][0]["data"])
    body = orjson.dumps(
        {"model_name": "fraud", "outputs": [{"name": "score", "shape": [1], "datatype": "FP64", "data": [found]}]}
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
