"""Online features by entity id, added as tensors, so that the model runs with `serving.features.source: request`."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import orjson

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.config.variables import online_url
from carrental_mlops.core.arrays import Values
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving import protocol
from carrental_mlops.serving.app import Headers, Reply
from carrental_mlops.serving.endpoint import Stored
from carrental_mlops.serving.load import Bundle, service_of
from carrental_mlops.serving.nodes.base import JSON, Asked, Node, Place, reply
from carrental_mlops.serving.online import OnlineReader, open_reader
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.signature import Signature
from carrental_mlops.serving.telemetry import Metrics

_EXACT = 2**53
"""Seldon's executor reads numbers as float64 where it hands a reply on: larger whole numbers go as text."""
_LENGTH = b"inference-header-content-length"
_PASSED_ON = (b"authorization", b"traceparent", b"x-request-id")


class FeatureTransformer(Node):
    """Adds the stored features of a request's entities; the contract is held here already.

    Answers a tensor a field (those that the contract does not name are left out) and a tensor a stored feature, FP64,
    null where there is none. What was stale, late or unknown stands in `parameters.flags`. Wishes of the client for
    some outputs or for binary ones do not outlive the step to the model.
    """

    kind = "transformer"
    calls = ("infer",)

    class Settings(Frozen):
        """Where the features are; budget, age and what to do are those of `serving.features`."""

        source: Literal["store", "server"] = "store"
        """The online store, or Feast's own server at `serving.features.feast_url`."""

    def __init__(self, place: Place, settings: Settings) -> None:
        super().__init__(place, settings)
        config = place.config
        service = service_of(place.root, config)
        policy = config.serving.features.model_copy(update={"source": settings.source})
        if settings.source == "server" and policy.feast_url is None:
            raise ConfigError(f"node `{place.name}`: source server wants an address", "set serving.features.feast_url")
        bundle = Bundle.read(place.wanted_bundle())
        if bundle.online is None:
            raise ConfigError(
                f"node `{place.name}`: {bundle.folder} names no online store",
                "crm run features, then make the bundle again",
            )
        known = bundle.identity
        self._metrics = Metrics(known.name, known.version, known.digest)
        self._reader: OnlineReader = open_reader(
            place.root, bundle.online, policy, online_url(config.feast.online), self._metrics
        )
        self._signature = Signature(service.schema, (), without=(config.columns.label,))
        self._datatypes = {field.name: field.datatype for field in self._signature.fields}
        self._stored = service.feature_set.stored_columns()
        self._next = _Predictor(place.predictor_host) if place.predictor_host else None

    async def start(self) -> None:
        """Connect to the online store."""
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._reader.stop()
        if self._next:
            self._next.stop()

    def registries(self) -> tuple[Any, ...]:
        """Ages, unknown entities and late reads."""
        return (self._metrics.registry,)

    def metadata(self) -> dict[str, Any]:
        """Fields of the contract in; the same and the stored features out."""
        fields = [{"name": f.name, "datatype": f.datatype, "shape": [-1]} for f in self._signature.fields]
        stored = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in self._stored]
        return {**super().metadata(), "inputs": fields, "outputs": [*fields, *stored]}

    async def answer(self, asked: Asked) -> Reply:
        """The request with its stored features; from KServe's predictor, its answer."""
        most, said = self.place.config.serving.max_rows, asked.headers.get(_LENGTH)
        if said is not None and not (said.isdigit() and len(said) < 12 and int(said) <= len(asked.body)):
            raise Refusal(400, "Inference-Header-Content-Length is not within the body")
        inference = protocol.read(asked.body, self._signature.names, most, int(said) if said else None)
        _, values = self._signature.check(inference.columns, inference.rows)
        stored = await self._reader.read(values, inference.rows)
        tensors = [*self._sent(inference.columns, inference.rows), *self._found(stored, inference.rows)]
        told: dict[str, Any] = {} if inference.id is None else {"id": inference.id}
        if stored.flags:
            told["parameters"] = {"flags": list(stored.flags)}
        if self._next:
            told |= {"outputs": [{"name": name} for name in inference.wanted]} if inference.wanted else {}
            return await self._next.ask(asked, {**told, "inputs": tensors})
        return reply({"model_name": self.place.name, **told, "outputs": tensors})

    def _sent(self, columns: Mapping[str, Values], rows: int) -> list[dict[str, Any]]:
        return [
            {"name": name, "shape": [rows], **_typed(values, self._datatypes[name])}
            for name, values in columns.items()
            if name in self._datatypes
        ]

    def _found(self, stored: Stored, rows: int) -> list[dict[str, Any]]:
        empty = np.full(rows, np.nan)
        return [
            {"name": name, "shape": [rows], "datatype": "FP64", "data": stored.columns.get(name, empty)}
            for name in self._stored
        ]


def _typed(values: Values, declared: str) -> dict[str, Any]:
    """Datatype and data of a tensor of JSON: as the values are, for a client may send a whole number as FP64."""
    data: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        data = [None if value != value else value for value in data]
    kinds = {type(value) for value in data} - {type(None)}
    if kinds == {int} and any(abs(value) > _EXACT for value in data if value is not None):
        return {"datatype": "BYTES", "data": [None if value is None else str(value) for value in data]}
    for found, datatype in (({bool}, "BOOL"), ({int}, "INT64"), ({str}, "BYTES")):
        if kinds == found:
            return {"datatype": datatype, "data": data}
    return {"datatype": "FP64" if kinds else declared, "data": data}


class _Predictor:
    """KServe's predictor, asked over connections of one thread each."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._threads = ThreadPoolExecutor(8, "predictor")

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, asked: Asked, document: dict[str, Any]) -> Reply:
        body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = {name.decode(): asked.headers[name].decode("latin-1") for name in _PASSED_ON if name in asked.headers}
        if asked.trace:
            headers["traceparent"] = asked.trace
        ask = asyncio.get_running_loop().run_in_executor(self._threads, self._post, asked.model, body, headers)
        try:
            return await ask
        except (OSError, http.client.HTTPException):
            raise Refusal(503, "the model does not answer") from None

    def _post(self, model: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            sent = {**headers, "content-type": "application/json"}
            connection.request("POST", f"/v2/models/{model}/infer", body, sent)
            answer = connection.getresponse()
            told = answer.read()
            kind: Headers = [(b"content-type", answer.headers.get("content-type", "").encode("latin-1"))]
            return answer.status, told, kind if kind[0][1] else JSON
        finally:
            connection.close()
