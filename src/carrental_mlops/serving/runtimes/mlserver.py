"""The service under MLServer.

MLSERVER_MODEL_NAME, MLSERVER_MODEL_IMPLEMENTATION=carrental_mlops.serving.runtimes.mlserver.Runtime and
MLSERVER_MODEL_URI (the bundle's folder) are all that it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, Parameters, ResponseOutput

from carrental_mlops.core.arrays import Values
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving import protocol
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.runtimes.opening import open_bundle
from carrental_mlops.serving.traceparent import passed_on

log = logging.getLogger("carrental_mlops.serving")


class Runtime(MLModel):  # type: ignore[misc]  # MLServer is not installed where types are checked
    """One endpoint, answering as MLServer's model."""

    async def load(self) -> bool:
        """Open the bundle and warm it up.

        Raises:
            ConfigError: no folder is named, or as `open_bundle`.
            DataError: the bundle is incomplete.
        """
        parameters = self.settings.parameters
        if parameters is None or not parameters.uri:
            raise ConfigError("no bundle is named", "MLSERVER_MODEL_URI=FOLDER, as crm serve wrote it")
        app = open_bundle(Path(parameters.uri))
        self._endpoint = app.endpoint
        await self._endpoint.start()
        self._life = asyncio.create_task(self._live())
        return True

    async def _live(self) -> None:
        """MLServer does not unload on SIGTERM, but its loop cancels what still runs."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._endpoint.stop()

    async def unload(self) -> bool:
        """Close what `load` opened."""
        self._life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._life
        return True

    async def metadata(self) -> MetadataModelResponse:
        """The endpoint's, under MLServer's name for it."""
        return MetadataModelResponse(**{**self._endpoint.metadata(), "name": self.name})

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The endpoint's answer.

        Raises:
            MLServerError: with the status of the endpoint's refusal; 500 says nothing of the inside.
        """
        try:
            return await self._answer(payload, time.perf_counter())
        except Refusal as refusal:
            raise MLServerError(refusal.message, refusal.status) from None
        except Exception:
            log.exception("a request failed")
            raise MLServerError("the service failed; its log has the reason", 500) from None

    async def _answer(self, payload: InferenceRequest, started: float) -> InferenceResponse:
        endpoint = self._endpoint
        inference = protocol.read_document(
            _document(payload), memoryview(b""), endpoint.signature.names, endpoint.settings.max_rows
        )
        traced = passed_on(_header(payload, "traceparent"))
        event, outputs = await endpoint.answer(inference, started, traced.traceparent if traced else None)
        return InferenceResponse(
            model_name=self.name,
            model_version=(event.model or endpoint.identity).version,
            id=event.id,
            parameters=Parameters(flags=list(event.flags)) if event.flags else None,
            outputs=[
                ResponseOutput(name=name, datatype=datatype, shape=[inference.rows], data=_sent(datatype, values))
                for name, datatype, values in protocol.chosen(inference, outputs)
            ],
        )


def _document(payload: InferenceRequest) -> dict[str, Any]:
    tensors = []
    for tensor in payload.inputs:
        datatype = str(getattr(tensor.datatype, "value", tensor.datatype))
        values = getattr(tensor.data, "root", tensor.data)
        if isinstance(values, list):
            values = protocol.plain(tensor.name, datatype, values)
        tensors.append({"name": tensor.name, "datatype": datatype, "shape": tensor.shape, "data": values})
    document = {"id": payload.id, "inputs": tensors}
    if payload.outputs:
        document["outputs"] = [{"name": output.name} for output in payload.outputs]
    return document


def _header(payload: InferenceRequest, name: str) -> bytes | None:
    headers = getattr(payload.parameters, "headers", None) or {}
    value = headers.get(name)
    return value.encode("latin-1", "ignore") if isinstance(value, str) else None


def _sent(datatype: str, values: Values) -> list[Any]:
    """MLServer's gRPC wants texts as bytes; its REST decodes them."""
    return [str(v).encode() for v in values] if datatype == "BYTES" else [float(v) for v in values]
