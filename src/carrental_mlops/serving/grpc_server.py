"""The service over gRPC: Open Inference Protocol v2, in the loop that answers HTTP."""

from __future__ import annotations

import logging
import time
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.app import App, server_metadata
from carrental_mlops.serving.oip import open_inference_pb2 as oip
from carrental_mlops.serving.oip import tensors
from carrental_mlops.serving.refusal import Refusal
from carrental_mlops.serving.traceparent import CURRENT, Traced

log = logging.getLogger("carrental_mlops.serving")

_SERVICE = "inference.GRPCInferenceService"
_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""HTTP status to gRPC's; what else a client does wrong is INVALID_ARGUMENT."""
_IDENTITY_ONLY = 1
"""Bit set of `grpc.CompressionAlgorithm`."""


class GrpcServer:
    """A gRPC server around the endpoint of `app`.

    Over `serving.queue` calls at once are RESOURCE_EXHAUSTED, and so is a message over `serving.max_body_kb`; gRPC
    itself says both, before the service sees the call, so they are not in the metrics.

    Args:
        app: the application; its readiness and its metrics are this server's too.
    """

    port: int
    """Where it listens, once it is started."""

    def __init__(self, app: App) -> None:
        self._app, self._endpoint = app, app.endpoint
        settings = app.endpoint.settings
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=settings.queue,
            options=[
                ("grpc.max_receive_message_length", settings.max_body_kb << 10),
                ("grpc.max_metadata_size", 32 << 10),
                ("grpc.so_reuseport", int(settings.workers > 1)),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
            ],
        )
        calls = {
            "ServerLive": (oip.ServerLiveRequest, self._server_live),
            "ServerReady": (oip.ServerReadyRequest, self._server_ready),
            "ModelReady": (oip.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (oip.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (oip.ModelMetadataRequest, self._model_metadata),
            "ModelInfer": (oip.ModelInferRequest, self._model_infer),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(_answering(app, name, kind, method), None, _bytes)
            for name, (kind, method) in calls.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))

    async def start(self) -> None:
        """Listen on `serving.grpc_port`; 0 takes a free one.

        Raises:
            PlatformError: the port is taken.
        """
        settings = self._endpoint.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port or 0}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PlatformError(f"gRPC: {address} is taken: {error}", "choose another serving.grpc_port") from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Take no new call, and give those in work `grace_s` seconds."""
        await self._server.stop(grace_s)

    async def _server_live(self, request: Any, context: Any) -> Any:
        return oip.ServerLiveResponse(live=True)

    async def _server_ready(self, request: Any, context: Any) -> Any:
        return oip.ServerReadyResponse(ready=self._app.up)

    async def _model_ready(self, request: Any, context: Any) -> Any:
        self._hold_model(request.name, request.version)
        return oip.ModelReadyResponse(ready=self._app.up)

    async def _server_metadata(self, request: Any, context: Any) -> Any:
        await self._caller(context.invocation_metadata() or (), context.peer())
        return oip.ServerMetadataResponse(**server_metadata())

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        await self._caller(context.invocation_metadata() or (), context.peer())
        self._hold_model(request.name, request.version)
        known = self._endpoint.metadata()
        fields = ("name", "datatype", "shape")
        reply = oip.ModelMetadataResponse(name=known["name"], versions=known["versions"], platform=known["platform"])
        for there, here in ((reply.inputs, known["inputs"]), (reply.outputs, known["outputs"])):
            for tensor in here:
                there.add(**{field: tensor[field] for field in fields})
        return reply

    async def _model_infer(self, request: Any, context: Any) -> Any:
        metadata = context.invocation_metadata() or ()
        header = next((value for name, value in metadata if name == "traceparent"), None)
        traced = self._app.begin_trace(header.encode() if isinstance(header, str) else None)
        CURRENT.set(traced)
        if traced:
            context.set_trailing_metadata((("traceparent", traced.traceparent),))
        code = 500
        try:
            reply = await self._inferred(request, context, traced)
            code = 200
            return reply
        except Refusal as refusal:
            code = refusal.status
            raise
        finally:
            self._app.end_trace(traced, code)

    async def _inferred(self, request: Any, context: Any, traced: Traced | None) -> Any:
        started = time.perf_counter()
        metadata = context.invocation_metadata() or ()
        caller = await self._caller(metadata, context.peer()) if self._app.door else None
        self._hold_model(request.model_name, request.model_version)
        endpoint = self._endpoint
        inference = tensors.read(request, endpoint.signature.names, endpoint.settings.max_rows)
        event, outputs = await endpoint.answer(inference, started, traced.traceparent if traced else None, caller)
        if traced:
            traced.rows, traced.flags = inference.rows, event.flags
        if endpoint.switched is None:
            self._app.metrics.scored(event.answer.scores, event.answer.decisions)
        identity, raw = event.model or endpoint.identity, bool(request.raw_input_contents)
        return tensors.write(inference, event.id, identity.name, identity.version, outputs, event.flags, raw)

    async def _caller(self, metadata: Any, peer: str) -> str | None:
        """Who asks; `peer` is as gRPC writes it: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
        headers = [(name.encode(), v if isinstance(v, bytes) else v.encode()) for name, v in metadata]
        kind, _, address = unquote(peer).partition(":")
        host, _, port = address.rpartition(":")
        client = (host.strip("[]"), int(port)) if kind in ("ipv4", "ipv6") else None
        return await self._app.door.caller(headers, client) if self._app.door else None

    def _hold_model(self, name: str, version: str) -> None:
        identity = self._endpoint.identity
        if name != identity.name or version not in ("", identity.version):
            raise Refusal(404, "no such model or version here")


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()  # type: ignore[no-any-return]


def _answering(app: App, name: str, kind: Any, method: Any) -> Any:
    """A handler of bytes, so that what does not parse is the client's error; only inferences are counted."""

    async def handle(body: bytes, context: Any) -> Any:
        started, code = time.perf_counter(), 200
        try:
            return await method(kind.FromString(body), context)
        except DecodeError:
            code = 400
            await _refuse(context, Refusal(code, "the message is not the protocol's"))
        except Refusal as refusal:
            code = refusal.status
            if name == "ModelInfer" and code >= 500:
                app.metrics.failed(refusal.cause)
            await _refuse(context, refusal)
        except Exception as error:
            code = 500
            app.metrics.failed(type(error).__name__)
            log.exception("a call failed")
            await context.abort(grpc.StatusCode.INTERNAL, "the service failed; its log has the reason")
        finally:
            if name == "ModelInfer":
                app.metrics.answered(code, time.perf_counter() - started)

    return handle


async def _refuse(context: Any, refusal: Refusal) -> NoReturn:
    await context.abort(_CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT), refusal.message)
    raise AssertionError("abort raises")
