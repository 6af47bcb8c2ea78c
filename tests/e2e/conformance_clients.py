"""Clients that nobody here wrote: `conformance_clients.py CLIENT HTTP_PORT GRPC_PORT`, requests on stdin as JSON.

Prints the answers, null for a request that the client cannot put in words, and what a malformed request was told. Runs
in an environment that holds the client, not the package.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

NAME = "payments"
KINDS = {"customer_id": "INT64", "paid_at": "BYTES", "note": "BYTES"}
OUTPUTS = ("score", "decision", "reason")
Request = dict[str, list[Any]]
Ask = Callable[[Request], dict[str, Any] | None]


def arrays(request: Request) -> Iterator[tuple[str, str, Any]]:
    """(name, datatype, array) of each field; a missing number is NaN."""
    for name, values in request.items():
        kind = KINDS.get(name, "FP64")
        yield name, kind, np.array(values, {"INT64": np.int64, "FP64": np.float64, "BYTES": object}[kind])


def has_missing(request: Request) -> bool:
    """Whether a field is there in some rows only; JSON made of arrays has no word for it."""
    return any(value is None for values in request.values() for value in values)


def texts(values: Any) -> list[str]:
    """Texts of an array of bytes or texts."""
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(values).ravel().tolist()]


def answer(read: Callable[[str], Any]) -> dict[str, Any]:
    """Score, decision and reason as `read` has them."""
    return {
        "score": np.asarray(read("score"), dtype=np.float64).ravel().tolist(),
        "decision": texts(read("decision")),
        "reason": texts(read("reason")),
    }


def triton_http(http: int, grpc: int, binary: bool = False) -> Ask:
    """tritonclient over HTTP, in JSON or in binary tensors."""
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    client = InferenceServerClient(f"127.0.0.1:{http}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(NAME)
    assert client.get_model_metadata(NAME)["name"] == NAME and client.get_server_metadata()["name"]

    def ask(request: Request) -> dict[str, Any] | None:
        if has_missing(request) and not binary:
            return None
        inputs = []
        for name, kind, values in arrays(request):
            inputs.append(InferInput(name, list(values.shape), kind))
            inputs[-1].set_data_from_numpy(values, binary_data=binary)
        wanted = [InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
        return answer(client.infer(NAME, inputs, outputs=wanted).as_numpy)

    return ask


def triton_http_binary(http: int, grpc: int) -> Ask:
    """tritonclient over HTTP with binary tensors."""
    return triton_http(http, grpc, binary=True)


def triton_grpc(http: int, grpc: int) -> Ask:
    """tritonclient over gRPC; it sends raw contents."""
    from tritonclient.grpc import InferenceServerClient, InferInput

    client = InferenceServerClient(f"127.0.0.1:{grpc}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(NAME)
    assert client.get_model_metadata(NAME).name == NAME and client.get_server_metadata().name

    def ask(request: Request) -> dict[str, Any] | None:
        inputs = []
        for name, kind, values in arrays(request):
            inputs.append(InferInput(name, list(values.shape), kind))
            inputs[-1].set_data_from_numpy(values)
        return answer(client.infer(NAME, inputs).as_numpy)

    return ask


def kserve_rest(http: int, grpc: int) -> Ask:
    """KServe's client over HTTP, in JSON."""
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    client, loop = InferenceRESTClient(RESTConfig(protocol="v2")), asyncio.new_event_loop()
    base = f"http://127.0.0.1:{http}"
    with contextlib.suppress(json.JSONDecodeError):  # MLServer says that it is ready without a body
        assert loop.run_until_complete(client.is_server_ready(base))
        assert loop.run_until_complete(client.is_model_ready(base, NAME))

    def ask(request: Request) -> dict[str, Any] | None:
        inputs = [InferInput(n, [len(v)], KINDS.get(n, "FP64"), v) for n, v in request.items()]
        reply = loop.run_until_complete(client.infer(base, InferRequest(NAME, inputs), NAME))
        outputs = {output.name: output.data for output in reply.outputs}
        return answer(outputs.__getitem__)

    return ask


def kserve_grpc(http: int, grpc: int) -> Ask:
    """KServe's client over gRPC, in typed contents."""
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    loop = asyncio.new_event_loop()

    async def opened() -> Any:
        return InferenceGRPCClient(f"127.0.0.1:{grpc}")

    client = loop.run_until_complete(opened())
    assert loop.run_until_complete(client.is_server_ready())
    assert loop.run_until_complete(client.is_model_ready(NAME))

    def ask(request: Request) -> dict[str, Any] | None:
        inputs = [InferInput(n, [len(a)], kind, a.tolist()) for n, kind, a in arrays(request)]
        reply = loop.run_until_complete(client.infer(InferRequest(NAME, inputs)))
        outputs = {output.name: output for output in reply.outputs}
        return answer(lambda name: outputs[name].as_numpy())

    return ask


def _mlserver_request(request: Request, use_bytes: bool = False) -> Any:
    from mlserver.codecs import NumpyCodec, StringCodec
    from mlserver.types import InferenceRequest

    inputs = []
    for name, kind, values in arrays(request):
        if kind == "BYTES":
            inputs.append(StringCodec.encode_input(name, values.tolist(), use_bytes=use_bytes))
        else:
            inputs.append(NumpyCodec.encode_input(name, values))
    return InferenceRequest(inputs=inputs)


def _mlserver_answer(response: Any) -> dict[str, Any]:
    from mlserver.codecs import NumpyCodec, StringCodec

    outputs = {output.name: output for output in response.outputs}
    return answer(lambda name: (NumpyCodec if name == "score" else StringCodec).decode_output(outputs[name]))


def mlserver_rest(http: int, grpc: int) -> Ask:
    """MLServer's types and codecs over HTTP."""
    import requests
    from mlserver.types import InferenceResponse

    session = requests.Session()

    def ask(request: Request) -> dict[str, Any] | None:
        body = _mlserver_request(request).model_dump_json(exclude_none=True)
        url = f"http://127.0.0.1:{http}/v2/models/{NAME}/infer"
        reply = session.post(url, body, headers={"content-type": "application/json"}, timeout=20)
        reply.raise_for_status()
        return _mlserver_answer(InferenceResponse.model_validate_json(reply.text))

    return ask


def mlserver_grpc(http: int, grpc: int) -> Ask:
    """MLServer's stub and converters over gRPC."""
    from grpc import insecure_channel
    from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
    from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

    stub = GRPCInferenceServiceStub(insecure_channel(f"127.0.0.1:{grpc}"))

    def ask(request: Request) -> dict[str, Any] | None:
        if has_missing(request):  # its codec makes None of NaN, and its converter then has no number to send
            return None
        message = ModelInferRequestConverter.from_types(_mlserver_request(request, True), model_name=NAME)
        return _mlserver_answer(ModelInferResponseConverter.to_types(stub.ModelInfer(message, timeout=20)))

    return ask


def seldon_rest(http: int, grpc: int, transport: str = "rest") -> Ask:
    """seldon-core's client in Seldon's own protocol."""
    from seldon_core.seldon_client import SeldonClient

    client = SeldonClient(microservice_endpoint=f"127.0.0.1:{http if transport == 'rest' else grpc}")

    def ask(request: Request) -> dict[str, Any] | None:
        rows = np.array([list(row) for row in zip(*request.values(), strict=True)], dtype=object)
        reply = client.microservice(
            data=rows, method="predict", transport=transport, payload_type="ndarray", names=list(request)
        )
        if not reply.success:
            raise RuntimeError(reply.msg)
        data = reply.response["data"] if isinstance(reply.response, dict) else _plain(reply.response)["data"]
        columns = dict(zip(data["names"], zip(*data["ndarray"], strict=True), strict=True))
        return answer(columns.__getitem__)

    return ask


def seldon_grpc(http: int, grpc: int) -> Ask:
    """seldon-core's client over gRPC."""
    return seldon_rest(http, grpc, "grpc")


def _plain(message: Any) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message)


CLIENTS = {
    client.__name__: client
    for client in (
        triton_http, triton_http_binary, triton_grpc, kserve_rest, kserve_grpc, mlserver_rest, mlserver_grpc,
        seldon_rest, seldon_grpc,
    )
}  # fmt: skip


def main() -> None:
    """As the module says."""
    ask = CLIENTS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
    requests = json.load(sys.stdin)
    answers = [ask(request) for request in requests]
    wrong = {name: list(values) for name, values in requests[1].items()}
    wrong["amount_eur"][0] = -1.0
    try:
        told = f"answered: {ask(wrong)}"
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    json.dump({"answers": answers, "told": told}, sys.stdout)


if __name__ == "__main__":
    main()
