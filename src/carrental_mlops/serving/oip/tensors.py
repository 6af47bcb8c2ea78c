"""Messages of the protocol to the document that `protocol.read_document` reads, and answers back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carrental_mlops.core.arrays import Values
from carrental_mlops.serving import protocol
from carrental_mlops.serving.oip.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from carrental_mlops.serving.protocol import Inference
from carrental_mlops.serving.refusal import Refusal

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype to the list that holds its values; FP16 has none."""


def read(message: ModelInferRequest, names: Sequence[str], max_rows: int) -> Inference:
    """The request in `message`; NaN is a missing value, for the protocol's lists have no null.

    Args:
        message: typed contents or raw ones.
        names: fields of the service, in the order of its metadata.
        max_rows: most rows of one request.

    Raises:
        Refusal: as `protocol.read`.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise Refusal(422, f"{len(message.inputs)} tensors, but {len(raw)} raw_input_contents", "inputs")
    tensors = []
    for at, tensor in enumerate(message.inputs):
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if not raw:
            told["data"] = _data(tensor)
        elif tensor.HasField("contents"):
            raise Refusal(422, f"tensor `{tensor.name}` has contents beside raw_input_contents", tensor.name)
        else:
            told["parameters"] = {"binary_data_size": len(raw[at])}
        tensors.append(told)
    document: dict[str, Any] = {"inputs": tensors, "id": message.id or None}
    if message.outputs:
        document["outputs"] = [{"name": output.name} for output in message.outputs]
    return protocol.read_document(document, memoryview(b"".join(raw)), names, max_rows)


def write(
    inference: Inference,
    identity: str,
    model: str,
    version: str,
    outputs: Mapping[str, tuple[str, Values]],
    flags: Sequence[str],
    raw: bool,
) -> ModelInferResponse:
    """The reply to `inference`.

    Args:
        inference: the request; says which outputs are wanted.
        identity: of the answer, as the audit has it.
        model: name of the service.
        version: of the model that answered.
        outputs: name to datatype and (rows,) values.
        flags: what was not as it should be; the reply's parameter `flags`, separated by commas.
        raw: whether the outputs go raw, as those of a request that came raw do.

    Raises:
        Refusal: 422, an output is wanted that there is not.
    """
    reply = ModelInferResponse(model_name=model, model_version=version, id=identity)
    for name, datatype, values in protocol.chosen(inference, outputs):
        tensor = reply.outputs.add(name=name, datatype=datatype, shape=(inference.rows,))
        if raw:
            reply.raw_output_contents.append(protocol.packed(datatype, values))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(value.encode() for value in values)
        else:
            getattr(tensor.contents, _CONTENTS[datatype]).extend(values)
    if flags:
        reply.parameters["flags"].string_param = ",".join(flags)
    return reply


def _data(tensor: Any) -> list[Any]:
    values = getattr(tensor.contents, _CONTENTS.get(tensor.datatype, "bytes_contents"))
    return protocol.plain(tensor.name, tensor.datatype, values)
