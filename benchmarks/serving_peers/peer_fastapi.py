"""FastAPI and pydantic as most teams write it."""

import numpy as np
from fastapi import FastAPI
from peer_model import predict
from pydantic import BaseModel, Field

app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float] = Field(min_length=20)


class Request(BaseModel):
    inputs: list[Tensor]


@app.post("/infer")
async def infer(request: Request) -> dict[str, object]:
    tensor = request.inputs[0]
    return {"outputs": [{"name": "score", "data": predict(np.array(tensor.data).reshape(tensor.shape)).tolist()}]}
