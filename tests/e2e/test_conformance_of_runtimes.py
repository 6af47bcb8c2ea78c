"""One service class under three real servers, asked by clients that nobody here wrote: the same answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import conformance_servers as servers
import pytest

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
ALL = 300
NO_NULL = 249
"""Of them without a field that is there in some rows only, for clients that have no word for it."""

# Not asked: MLServer's HTTP does not read binary tensors; seldon-core's gRPC is its own protocol alone.
ASKED = {
    "crm": (
        *("triton_http", "triton_http_binary", "triton_grpc", "kserve_rest", "kserve_grpc"),
        *("mlserver_rest", "mlserver_grpc"),
    ),
    "mlserver": ("triton_http", "triton_grpc", "kserve_rest", "kserve_grpc", "mlserver_rest", "mlserver_grpc"),
    "seldon": ("triton_http", "triton_http_binary", "kserve_rest", "mlserver_rest", "seldon_rest", "seldon_grpc"),
}
WITHOUT_NULL = ("triton_http", "mlserver_grpc")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repo and its bundle."""
    return servers.make_repo(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def requests() -> list[dict[str, list[Any]]]:
    """What every client asks."""
    return servers.make_requests()


@pytest.fixture(scope="module")
def offline(repo: Path, requests: list[dict[str, list[Any]]]) -> list[dict[str, list[Any]]]:
    """The answers without a server."""
    return servers.offline(repo, requests)


def _python(client: str) -> Path:
    if client.startswith(("mlserver", "seldon")):
        name = client.partition("_")[0]
        requirements = servers.ROOT / "requirements" / f"{name}.txt"
        return servers.environment(name, requirements, "--editable", str(servers.ROOT))
    return servers.environment("clients", HERE / "conformance_clients.txt")


def _ask(client: str, address: servers.Address, requests: list[dict[str, list[Any]]]) -> dict[str, Any]:
    command = [str(_python(client)), str(HERE / "conformance_clients.py"), client]
    done = subprocess.run(
        [*command, str(address.http), str(address.grpc)], input=json.dumps(requests), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"answers"') :])
    return told


@pytest.mark.parametrize("runtime", ASKED)
def test_each_client_gets_the_answers_of_the_class_itself(
    runtime: str, repo: Path, requests: list[dict[str, list[Any]]], offline: list[dict[str, list[Any]]]
) -> None:
    with servers.server(runtime, repo, repo / f"{runtime}.log") as address:
        told = {client: _ask(client, address, requests) for client in ASKED[runtime]}
    same = {
        client: sum(answer == expected for answer, expected in zip(reply["answers"], offline, strict=True))
        for client, reply in told.items()
    }
    assert same == {client: NO_NULL if client in WITHOUT_NULL else ALL for client in ASKED[runtime]}
    refusals = {client: reply["told"] for client, reply in told.items()}
    said = ("amount_eur", "422", "UNPROCESSABLE")
    assert all(any(word in text for word in said) for text in refusals.values()), refusals
