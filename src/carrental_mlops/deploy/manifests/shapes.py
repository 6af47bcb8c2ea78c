"""Which shape and rollout each platform can run, and the inference graph of a shape.

Sources: SeldonDeployment v1 (graph of predictive units, `traffic`, `shadow`); KServe's InferenceService v1beta1
(predictor, transformer, `canaryTrafficPercent`, which only its serverless mode heeds).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from carrental_mlops.config.deploy import Deploy, Node, Platform, Rollout, Shape
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.manifests.labels import BATCH, TRACKS
from carrental_mlops.errors import ConfigError

UnitType = Literal["MODEL", "TRANSFORMER", "COMBINER", "ROUTER"]
DETECTORS = ("outlier_detector", "drift_detector")
"""Kinds that would take the next rows for usual ones, had they forgotten the first."""
APART = (*DETECTORS, "explainer")
"""Kinds of nodes that no request passes: each a Deployment of its own, in any shape."""
_RESERVED = frozenset({"app", "audit-ship", "seldon-container-engine", "kserve-container", "queue-proxy", "http",
                       "metrics", BATCH, *TRACKS})  # fmt: skip


class Unsupported(Frozen):
    """Why a platform cannot, and the nearest that can."""

    why: str
    instead: str


_NO_GRAPH = "an InferenceService has no {}"
_NO_SPLIT = "KServe splits requests only in its serverless mode (Knative)"
_SPLIT_INSTEAD = "set deploy.serverless: true, or deploy.platform: seldon, or deploy.rollout.kind: direct"

SHAPES: Mapping[tuple[Platform, Shape], Unsupported] = {
    ("kserve", "ensemble"): Unsupported(
        why=_NO_GRAPH.format("combiner"),
        instead="set deploy.platform: seldon, or deploy.shape: single and combine the models in service.py",
    ),
    ("kserve", "router"): Unsupported(
        why=_NO_GRAPH.format("router"),
        instead="set deploy.platform: seldon, or deploy.shape: single with deploy.rollout.kind: ab (serverless)",
    ),
    ("kserve", "multi_model"): Unsupported(
        why=_NO_GRAPH.format("router, so that it answers for one model"),
        instead="set deploy.platform: seldon, or deploy.shape: single in a repo for each model",
    ),
}
"""Pairs that cannot be; every other can."""

ROLLOUTS: Mapping[tuple[Platform, Rollout], Unsupported] = {
    ("kserve", "canary"): Unsupported(why=_NO_SPLIT, instead=_SPLIT_INSTEAD),
    ("kserve", "ab"): Unsupported(why=_NO_SPLIT, instead=_SPLIT_INSTEAD),
    ("kserve", "shadow"): Unsupported(
        why="KServe has no shadow",
        instead="set deploy.platform: seldon, or deploy.rollout.kind: canary with deploy.serverless: true",
    ),
}
"""Pairs that cannot be; canary and ab can with `serverless: true`."""

_NEEDS: Mapping[Shape, Mapping[str, tuple[int, int]]] = {
    "single": {},
    "transformer": {"transformer": (1, 8)},
    "ensemble": {"combiner": (1, 1), "model": (1, 8), "transformer": (0, 8)},
    "router": {"router": (1, 1), "model": (1, 8), "transformer": (0, 8)},
    "multi_model": {"router": (1, 1), "model": (1, 8), "transformer": (0, 8)},
}
"""Nodes of a shape besides the model: least and most of each kind."""


class Unit(Frozen):
    """A node of the graph and those behind it."""

    name: str
    type: UnitType
    children: tuple[Unit, ...] = ()


def check_supported(deploy: Deploy) -> None:
    """Say no to what the platform cannot run.

    Raises:
        ConfigError: names the nearest that it can.
    """
    platform, rollout = deploy.platform, deploy.rollout
    if found := SHAPES.get((platform, deploy.shape)):
        raise _refused(f"shape {deploy.shape} on {platform}", found)
    split_by_knative = deploy.serverless and rollout.kind in ("canary", "ab")
    if (found := ROLLOUTS.get((platform, rollout.kind))) and not split_by_knative:
        raise _refused(f"rollout {rollout.kind} on {platform}", found)
    for is_so, what, why, instead in _combinations(deploy):
        if is_so:
            raise _refused(what, Unsupported(why=why, instead=instead))


def _refused(what: str, found: Unsupported) -> ConfigError:
    return ConfigError(f"{what}: {found.why}", found.instead)


def _combinations(deploy: Deploy) -> Iterable[tuple[bool, str, str, str]]:
    """Whether it is so, what, why not, what instead: settings that exclude each other."""
    rollout, route, scale = deploy.rollout, deploy.route, deploy.autoscale
    by_header = rollout.kind == "ab" and rollout.header is not None
    return (
        (deploy.serverless and deploy.platform == "seldon", "serverless on seldon", "Seldon has no serverless mode",
         "set deploy.serverless: false, or deploy.platform: kserve"),
        (by_header and deploy.platform == "kserve", "rollout ab by header on kserve",
         "Knative splits by share alone", "remove deploy.rollout.header, or set deploy.platform: seldon"),
        (by_header and route.by == "none", "rollout ab by header without a route",
         "nothing reads the header", "set deploy.route.by: istio, ambassador or gateway"),
        (deploy.serverless and route.by != "none", f"route by {route.by} in serverless mode",
         "Knative makes the route itself", "set deploy.route.by: none"),
        (deploy.serverless and scale.by == "keda", "KEDA in serverless mode",
         "Knative scales its revisions itself", "set deploy.autoscale.by: hpa"),
        (deploy.serverless and scale.p99_ms is not None, "scaling by p99 in serverless mode",
         "Knative scales by CPU or requests a second", "set deploy.autoscale.p99_ms: null and rps or cpu_percent"),
        (deploy.platform == "seldon" and deploy.shape != "single" and deploy.orchestrator_image is None,
         f"shape {deploy.shape} on seldon without an orchestrator",
         "pods are restricted, and the orchestrator that Seldon's operator adds by itself keeps its capabilities",
         "set deploy.orchestrator_image to Seldon's executor by digest (REGISTRY/seldon-core-executor@sha256:…), or "
         "deploy.shape: single"),
        (deploy.platform == "kserve" and _count(deploy, "transformer") > 1, "several transformers on kserve",
         "an InferenceService has one", "join them in one class, or set deploy.platform: seldon"),
    )  # fmt: skip


def _count(deploy: Deploy, kind: str) -> int:
    return sum(node.kind == kind for node in deploy.nodes)


def check_nodes(deploy: Deploy, service: str) -> None:
    """Say no to nodes that the shape does not have, to a node that is missing, and to a name taken twice.

    Raises:
        ConfigError: names node, shape and what the shape wants.
    """
    needs = _NEEDS[deploy.shape]
    for node in deploy.nodes:
        if node.kind not in needs and node.kind not in APART:
            shapes = [shape for shape, kinds in _NEEDS.items() if node.kind in kinds]
            raise ConfigError(f"deploy.nodes: `{node.name}` is a {node.kind}, which shape {deploy.shape} does not have",
                              f"remove it, or set deploy.shape to one of: {', '.join(shapes)}")  # fmt: skip
    for kind, (least, most) in needs.items():
        if not least <= (count := _count(deploy, kind)) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ConfigError(f"deploy.nodes: shape {deploy.shape} wants {wanted} of kind {kind}, found {count}",
                              f"add or remove nodes with `kind: {kind}`")  # fmt: skip
    for node in deploy.nodes:
        if node.kind not in APART and node.disk and node.disk.storage_class is None:
            raise ConfigError(f"deploy.nodes: the disk of `{node.name}` is written by every pod of the model at once, "
                              "which a cluster's default storage class hardly offers",
                              "name one with ReadWriteMany: disk: {storage_class: efs}")  # fmt: skip
    names = Counter([service, *(node.name for node in deploy.nodes)])
    for name, count in names.items():
        if count > 1 or (name in _RESERVED and name != service):
            raise ConfigError(f"deploy.nodes: the name `{name}` is taken", "give the node another name")


def graph_of(deploy: Deploy, service: str) -> Unit:
    """The graph that a request runs through, the model being named after the service.

    Transformers come first, in the order of `deploy.nodes`; then the combiner or router with the model and further
    models behind it, in that order, so that a router's branch 0 is the service's own model.

    Raises:
        ConfigError: as `check_nodes`.
    """
    check_nodes(deploy, service)
    unit = Unit(name=service, type="MODEL")
    for kind, type_ in (("combiner", "COMBINER"), ("router", "ROUTER")):
        for node in _of(deploy, kind):
            others = tuple(Unit(name=model.name, type="MODEL") for model in _of(deploy, "model"))
            unit = Unit(name=node.name, type=type_, children=(unit, *others))
    for node in reversed(_of(deploy, "transformer")):
        unit = Unit(name=node.name, type="TRANSFORMER", children=(unit,))
    return unit


def _of(deploy: Deploy, kind: str) -> list[Node]:
    return [node for node in deploy.nodes if node.kind == kind]
