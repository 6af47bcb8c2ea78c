"""The service described for its callers: OpenAPI 3.1 from the signature."""

from __future__ import annotations

from typing import Any

from carrental_mlops.serving.endpoint import OUTPUTS, Endpoint
from carrental_mlops.serving.signature import Field

_JSON = {"FP64": "number", "INT64": "integer", "BOOL": "boolean", "BYTES": "string"}


def openapi(endpoint: Endpoint) -> dict[str, Any]:
    """The OpenAPI document of `endpoint`; the extension `x-crm-fields` lists the fields for client generators."""
    name, version = endpoint.identity.name, endpoint.identity.version
    refused = {"$ref": "#/components/schemas/Refusal"}
    said = {
        "400": "not readable",
        "408": "too slow",
        "413": "too large",
        "415": "content type",
        "422": "a field does not fit",
        "429": "queue full",
        "503": "not ready",
        "504": "no answer in time",
    }
    infer = {
        "operationId": "infer",
        "summary": "Score, decision and reason of each row",
        "requestBody": {"required": True, "content": _content({"$ref": "#/components/schemas/Request"})},
        "responses": {
            "200": {"description": "the answers", "content": _content({"$ref": "#/components/schemas/Response"})},
            **{code: {"description": text, "content": _content(refused)} for code, text in said.items()},
        },
    }
    pages = {
        "/v2": "Server",
        "/v2/health/live": "Alive",
        "/v2/health/ready": "Ready",
        f"/v2/models/{name}": "Metadata",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version},
        "paths": {
            f"/v2/models/{name}/infer": {"post": infer},
            **{path: {"get": _page(text)} for path, text in pages.items()},
        },
        "components": {"schemas": _schemas(endpoint)},
        "x-crm-fields": [
            {"name": f.name, "datatype": f.datatype, "required": f.required} for f in endpoint.signature.fields
        ],
        "x-crm-outputs": [{"name": output, "datatype": kind} for output, kind in OUTPUTS.items()],
    }


def _schemas(endpoint: Endpoint) -> dict[str, Any]:
    tensors = [_tensor(field) for field in endpoint.signature.fields]
    outputs = [_tensor(Field(name, kind, True)) for name, kind in OUTPUTS.items()]
    text = {"type": "string"}
    return {
        "Request": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string", "maxLength": 128},
                "inputs": {"type": "array", "minItems": 1, "items": {"oneOf": tensors}},
            },
        },
        "Response": {
            "type": "object",
            "required": ["model_name", "model_version", "id", "outputs"],
            "properties": {
                "model_name": text,
                "model_version": text,
                "id": text,
                "outputs": {"type": "array", "items": {"oneOf": outputs}},
                "parameters": {"type": "object"},
            },
        },
        "Refusal": {"type": "object", "required": ["error"], "properties": {"error": text, "field": text}},
    }


def _tensor(field: Field) -> dict[str, Any]:
    value: dict[str, Any] = {"type": _JSON[field.datatype]}
    if not field.required:
        value = {"type": [_JSON[field.datatype], "null"]}
    return {
        "type": "object",
        "title": field.name,
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": field.name},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
            "datatype": {"const": field.datatype},
            "data": {"type": "array", "items": value, "minItems": 1},
        },
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _page(text: str) -> dict[str, Any]:
    return {"summary": text, "responses": {"200": {"description": text, "content": _content({"type": "object"})}}}
