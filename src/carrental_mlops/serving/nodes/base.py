"""What a node of an inference graph is: a class with settings, which answers some of the graph's calls.

The calls are those of Seldon Core v1's executor under `protocol: v2` (https://github.com/SeldonIO/seldon-core, files
executor/predictor/predictor_process.go and executor/api/rest/client.go), each a POST to `/v2/models/NAME/<call>`:
`infer` of a transformer or model, whose `outputs` become the `inputs` of the next; `aggregate` of a combiner, with a
list of its children's replies; `route` of a router, which answers `[child]`. It never calls `feedback`: whoever knows
the outcome sends it to the router himself. NAME is the node's, or the one that the client put into his path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson
from prometheus_client import CollectorRegistry

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.config.models import RepoConfig
from carrental_mlops.errors import ConfigError
from carrental_mlops.serving.app import Headers, Reply
from carrental_mlops.serving.refusal import Refusal

Kind = Literal["transformer", "combiner", "router", "model", "outlier_detector", "drift_detector", "explainer"]
Call = Literal["infer", "aggregate", "route", "feedback", "explain", "events"]
JSON: Headers = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Place:
    """Where a node runs, and what it may use."""

    root: Path
    """Of the model repo."""
    config: RepoConfig
    name: str
    """Of the node."""
    registry: CollectorRegistry
    """Takes the node's own metrics; no label may hold a value of a request."""
    bundle: Path | None = None
    """Folder of the model, for the nodes that want one."""
    predictor_host: str | None = None
    """`host[:port]` that a transformer asks itself, as KServe's does; None where the graph is called from outside."""
    env: str | None = None
    sets: tuple[str, ...] = ()

    @property
    def state(self) -> Path:
        """Folder of what the node keeps on disk."""
        return self.root / ".crm" / "nodes" / self.name

    def wanted_bundle(self) -> Path:
        """The bundle.

        Raises:
            ConfigError: none was named.
        """
        if self.bundle is None:
            raise ConfigError(f"node `{self.name}` answers with a model, but none is named", "--bundle FOLDER")
        return self.bundle


@dataclass(frozen=True)
class Asked:
    """One call of the graph."""

    call: Call
    model: str
    """As in the path."""
    body: bytes
    headers: Mapping[bytes, bytes]
    """Names in lower case."""
    scope: Any
    """ASGI's."""
    started: float
    """`time.perf_counter` when it came."""
    trace: str | None = None
    """W3C traceparent of the caller, or of our span where one is recorded."""


class Node:
    """One node. A subclass says its `kind`, the `calls` that it answers and the `Settings` that crm.yaml may give it.

    Args:
        place: where it runs.
        settings: checked already.
    """

    kind: ClassVar[Kind]
    calls: ClassVar[tuple[Call, ...]] = ()
    own_door: ClassVar[bool] = False
    """Whether the node itself finds out who asks."""

    class Settings(Frozen):
        """What `deploy.nodes[].settings` may hold."""

    def __init__(self, place: Place, settings: Any) -> None:
        self.place, self.settings = place, settings

    async def start(self) -> None:
        """Connect, and warm up; the node is ready afterwards.

        Raises:
            CrmError: what it needs is not there.
        """

    async def stop(self) -> None:
        """Close what `start` opened."""

    async def answer(self, asked: Asked) -> Reply:
        """HTTP status, body and headers.

        Raises:
            Refusal: 4xx or 5xx in words that hold no value of the request.
        """
        raise NotImplementedError

    def models(self) -> tuple[str, ...]:
        """Names in paths that the node answers to, besides its own and the service's."""
        return ()

    def registries(self) -> tuple[CollectorRegistry, ...]:
        """Further metrics that `/metrics` tells."""
        return ()

    def pages(self) -> Mapping[str, Any]:
        """Path to what GET answers there, as JSON can hold it, by a function."""
        return {}

    def metadata(self) -> dict[str, Any]:
        """As the protocol has it."""
        return {"name": self.place.name, "versions": [], "platform": "carrental-mlops", "inputs": [], "outputs": []}


def document_of(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Refusal: 400.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(400, "the body is not JSON") from None


def reply(told: Any, headers: Headers = JSON) -> Reply:
    """200 with `told` as JSON."""
    return 200, orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY), headers
