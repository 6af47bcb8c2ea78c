"""The service described for its callers: OpenAPI 3.1 from the signature and the row contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carrental_mlops.config.serving import Auth
from carrental_mlops.serving.endpoint import Endpoint
from carrental_mlops.serving.example import example_request, example_response
from carrental_mlops.serving.interface import OUTPUTS, bounds
from carrental_mlops.serving.signature import Field

_JSON = {"FP64": "number", "INT64": "integer", "BOOL": "boolean", "BYTES": "string"}
_REFUSALS = {
    "400": "not readable",
    "408": "the body came too slowly",
    "413": "too large",
    "415": "content type or encoding",
    "422": "a field does not fit; `field` names it",
    "429": "the queue is full; try again after `retry-after` seconds",
    "500": "the service failed",
    "503": "not ready, or the answer could not be kept",
    "504": "no answer in time",
}
_TEXT: Mapping[str, Any] = {"type": "string"}


def openapi(endpoint: Endpoint) -> dict[str, Any]:
    """The OpenAPI document of `endpoint`, enough to generate a client from.

    Its extensions `x-crm-fields` and `x-crm-outputs` list the fields and outputs in the service's order.
    """
    name, version, auth = endpoint.identity.name, endpoint.identity.version, endpoint.settings.auth
    known = bounds(endpoint.service.schema)
    fields = endpoint.signature.fields
    scheme = _scheme(auth)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version, "description": f"Model {endpoint.identity.digest[:12]}"},
        "servers": [{"url": "/"}],
        "security": [{"caller": []}] if scheme else [],
        "paths": _paths(name, version, fields, known, scheme is not None),
        "components": {
            "schemas": _schemas(fields, known, endpoint.settings.max_rows),
            **({"securitySchemes": {"caller": scheme}} if scheme else {}),
        },
        "x-crm-fields": [
            {"name": f.name, "datatype": f.datatype, "required": f.required, **known.get(f.name, {"null": True})}
            for f in fields
        ],
        "x-crm-outputs": [{"name": output, "datatype": kind} for output, kind in OUTPUTS.items()],
    }


def _scheme(auth: Auth) -> dict[str, Any] | None:
    if auth.kind == "bearer":
        return {"type": "http", "scheme": "bearer"}
    if auth.kind == "oidc":
        return {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{str(auth.issuer).rstrip('/')}/.well-known/openid-configuration",
        }
    if auth.kind == "peer":
        return {"type": "apiKey", "in": "header", "name": auth.header, "description": "Set by the gateway."}
    return None


def _paths(
    name: str, version: str, fields: tuple[Field, ...], known: Mapping[str, Any], guarded: bool
) -> dict[str, Any]:
    refusals = {"401": "who asks is not known", **_REFUSALS} if guarded else _REFUSALS
    infer = {
        "summary": "Score, decision and reason of each row",
        "parameters": [
            {"name": "traceparent", "in": "header", "schema": _TEXT, "description": "W3C Trace Context"},
        ],
        "requestBody": {"required": True, "content": _content(_ref("Request"), example_request(fields, known))},
        "responses": {
            "200": _reply("the answers", _ref("Response"), example_response(name, version)),
            **{code: _reply(text, _ref("Refusal")) for code, text in refusals.items()},
        },
    }
    open_to_all: dict[str, Any] = {"security": []}
    health = {
        "/v2/health/live": _page("live", "The process lives", "Alive", open_to_all),
        "/v2/health/ready": _page("ready", "It answers now", "Ready", {**open_to_all, "not_ready": True}),
        f"/v2/models/{name}/ready": _page("modelReady", "It answers now", "Ready", {**open_to_all, "not_ready": True}),
    }
    pages = {
        "/v2": _page("server", "The server", "Server", {"parameters": [_DEPENDENCIES]}),
        f"/v2/models/{name}": _page("metadata", "Fields and outputs", "Metadata"),
        f"/v2/models/{name}/versions/{version}": _page("versionMetadata", "Fields and outputs", "Metadata"),
    }
    return {
        f"/v2/models/{name}/infer": {"post": {"operationId": "infer", **infer}},
        f"/v2/models/{name}/versions/{version}/infer": {"post": {"operationId": "inferVersion", **infer}},
        **{path: {"get": page} for path, page in (pages | health).items()},
    }


_DEPENDENCIES = {
    "name": "dependencies",
    "in": "query",
    "description": "Also tell the versions of installed packages; 403 where the service does not.",
    "schema": {"type": "boolean"},
}


def _page(operation: str, summary: str, schema: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    further = dict(more or {})
    responses = {"200": _reply(summary, _ref(schema))}
    if further.pop("not_ready", False):
        responses["503"] = _reply("not now", _ref(schema))
    if "security" not in further:
        responses |= {code: _reply("who asks is not known or not told", _ref("Refusal")) for code in ("401", "403")}
    return {"operationId": operation, "summary": summary, "responses": responses, **further}


def _schemas(fields: tuple[Field, ...], known: Mapping[str, Mapping[str, Any]], max_rows: int) -> dict[str, Any]:
    tensors = [_tensor(field, known.get(field.name, {"null": True}), max_rows) for field in fields]
    outputs = [_tensor(Field(name, kind, True), {}, max_rows) for name, kind in OUTPUTS.items()]
    needed = [
        {"contains": {"required": ["name"], "properties": {"name": {"const": field.name}}}}
        for field in fields
        if field.required
    ]
    metadata = {"name": _TEXT, "versions": {"type": "array", "items": _TEXT}, "platform": _TEXT}
    described = {"type": "array", "items": {"type": "object", "required": ["name", "datatype", "shape"]}}
    return {
        "Request": _object(
            ["inputs"],
            id={"type": "string", "maxLength": 128, "description": "Identity of the decision, kept over retries"},
            inputs={
                "type": "array",
                "minItems": 1,
                "items": {"oneOf": tensors},
                **({"allOf": needed} if needed else {}),
            },
        ),
        "Response": _object(
            ["model_name", "model_version", "id", "outputs"],
            model_name=_TEXT,
            model_version=_TEXT,
            id=_TEXT,
            outputs={"type": "array", "items": {"oneOf": outputs}},
            parameters=_object([], flags={"type": "array", "items": _TEXT}),
        ),
        "Refusal": _object(["error"], error=_TEXT, field=_TEXT),
        "Metadata": _object(["name", "versions", "inputs", "outputs"], **metadata, inputs=described, outputs=described),
        "Server": _object(
            ["name", "version", "extensions"],
            name=_TEXT,
            version=_TEXT,
            extensions={"type": "array", "items": _TEXT},
            dependencies={"type": "object", "additionalProperties": _TEXT},
        ),
        "Alive": _object(["live"], live={"type": "boolean"}),
        "Ready": _object(["ready"], ready={"type": "boolean"}),
    }


def _tensor(field: Field, known: Mapping[str, Any], max_rows: int) -> dict[str, Any]:
    value = {"type": _JSON[field.datatype], **{name: limit for name, limit in known.items() if name != "null"}}
    if known.get("null"):
        value = {"anyOf": [value, {"type": "null"}]}
    size = {"type": "integer", "minimum": 1, "maximum": max_rows}
    return _object(
        ["name", "shape", "datatype", "data"],
        field.name,
        name={"const": field.name},
        shape={"type": "array", "items": size, "minItems": 1, "maxItems": 2},
        datatype={"const": field.datatype},
        data={"type": "array", "items": value, "minItems": 1, "maxItems": max_rows},
    )


def _object(required: list[str], title: str | None = None, /, **properties: Any) -> dict[str, Any]:
    named = {"title": title} if title else {}
    return {"type": "object", **named, **({"required": required} if required else {}), "properties": properties}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _reply(text: str, schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    return {"description": text, "content": _content(schema, example)}


def _content(schema: Mapping[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({"example": example} if example else {})}}
