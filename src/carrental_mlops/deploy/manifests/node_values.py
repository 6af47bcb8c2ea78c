"""What the chart is given of the nodes around a model."""

from __future__ import annotations

from carrental_mlops.config.deploy import Deploy, Disk, Name, Resources
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.manifests.shapes import APART, DETECTORS

HTTP_PORT, FIRST_NODE_PORT = 8080, 8090


class NodeValues(Frozen):
    """A further node of the graph, or a detector or explainer beside it."""

    name: Name
    kind: str
    port: int
    resources: Resources
    apart: bool
    """Whether it is a Deployment of its own, that no request passes."""
    disk: Disk | None = None
    """What it has learnt lies there; None: in its pod."""


def nodes_of(deploy: Deploy) -> tuple[NodeValues, ...]:
    """Values of `deploy.nodes` in their order, each with a port of its own where it shares the pod of the model."""
    found = []
    for n, node in enumerate(deploy.nodes):
        apart = node.kind in APART
        alone = apart or deploy.platform == "kserve"
        port = HTTP_PORT if alone else FIRST_NODE_PORT + n
        disk = node.disk or (Disk() if node.kind in DETECTORS else None)
        found.append(
            NodeValues(name=node.name, kind=node.kind, port=port, resources=node.resources, apart=apart, disk=disk)
        )
    return tuple(found)
