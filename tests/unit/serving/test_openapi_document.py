"""The document is valid OpenAPI 3.1, its examples are answered, and what it says holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from carrental_mlops.serving.app import App
from carrental_mlops.serving.openapi import openapi

INFER = "/v2/models/payments/infer"
KINDS = {
    "bearer": {"kind": "bearer", "token_file": "t"},
    "oidc": {"kind": "oidc", "issuer": "https://id.example/", "audience": "payments"},
    "peer": {"kind": "peer", "peers": ["10.0.0.1"]},
}


def schema_of(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_document_is_valid_and_names_who_may_ask(make_app: Callable[..., App], kind: str | None) -> None:
    document = openapi(make_app(**({"auth": KINDS[kind]} if kind else {})).endpoint)
    validate(json.loads(json.dumps(document)))
    assert ("securitySchemes" in document["components"]) == (kind is not None) == ("401" in replies(document))
    assert document["paths"]["/v2/health/ready"]["get"]["security"] == []


def replies(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][INFER]["post"]["responses"]
    return found


def test_its_example_is_answered_as_it_says(make_app: Callable[..., App], served: Any) -> None:
    client = served(make_app())
    document = json.loads(client.ask("GET", "/openapi.json")[2])
    validate(document)
    sent = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"]
    schema_of(document, "Request").validate(sent)
    status, reply = client.infer(sent)
    assert status == 200 and reply["id"] == sent["id"]
    schema_of(document, "Response").validate(reply)
    schema_of(document, "Response").validate(replies(document)["200"]["content"]["application/json"]["example"])
    for path, name in (("/v2", "Server"), ("/v2/models/payments", "Metadata"), ("/v2/health/ready", "Ready")):
        schema_of(document, name).validate(json.loads(client.ask("GET", path)[2]))


@pytest.mark.parametrize(
    ("name", "value"), [("amount_eur", -1), ("amount_eur", 20_001), ("rental_days", 0), ("customer_id", None)]
)
def test_what_the_contract_refuses_the_document_refuses(
    make_app: Callable[..., App], served: Any, payment: dict[str, Any], name: str, value: Any
) -> None:
    client = served(make_app())
    requests = schema_of(json.loads(client.ask("GET", "/openapi.json")[2]), "Request")
    assert requests.is_valid(payment) and client.infer(payment)[0] == 200
    next(t for t in payment["inputs"] if t["name"] == name)["data"] = [value]
    status, refused = client.infer(payment)
    assert not requests.is_valid(payment) and status == 422 and refused["field"] == name


def test_a_required_field_must_be_there(make_app: Callable[..., App], payment: dict[str, Any]) -> None:
    requests = schema_of(openapi(make_app().endpoint), "Request")
    assert requests.is_valid({"inputs": payment["inputs"][:3]})
    assert not requests.is_valid({"inputs": payment["inputs"][1:]})
