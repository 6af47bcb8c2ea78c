"""Configurations and releases for tests of what is rendered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch_jobs import BATCH, OUTSIDE
from releases import release

from carrental_mlops.config import RepoConfig, load
from carrental_mlops.deploy.manifests.policy import pods_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fraud-payments"
OLD, NEW = (
    release("prod-1", "1"),
    release("prod-2", "2", image="registry.example.com/fraud-payments@sha256:" + "c" * 64),
)


EXECUTOR = f"registry.example.com/seldon-core-executor@sha256:{'e' * 64}"


def node(name: str, kind: str, uses: str, **settings: Any) -> dict[str, Any]:
    """A node of `deploy.nodes`."""
    return {"name": name, "kind": kind, "uses": f"carrental_mlops.serving.nodes:{uses}", "settings": settings}


_SECOND = node("second", "model", "OneModel", bundle="second")
NODES: Mapping[str, list[dict[str, Any]]] = {
    "single": [],
    "transformer": [node("lookup", "transformer", "FeatureTransformer")],
    "ensemble": [node("mean", "combiner", "Mean"), _SECOND],
    "router": [node("bandit", "router", "ThompsonRouter"), _SECOND],
    "multi_model": [node("by-name", "router", "ModelRouter"), _SECOND],
}
"""What each shape needs."""


def config_of(env: str = "prod", serving: Mapping[str, Any] | None = None, **deploy: Any) -> RepoConfig:
    """The example's configuration in `env` with another `deploy` section, and an orchestrator for its graph."""
    deploy = {"orchestrator_image": EXECUTOR, **deploy}
    value = {**load(EXAMPLE, env).value, **(OUTSIDE if "batch" in deploy else {})}
    return RepoConfig.model_validate({**value, "serving": serving or {}, "deploy": deploy})


def with_everything(env: str = "prod", **deploy: Any) -> RepoConfig:
    """The same with everything on that a team can have beside shape, platform and rollout."""
    shape = deploy.get("shape", "single")
    given = {
        "nodes": [*NODES[shape], node("drift", "drift_detector", "DriftDetector")],
        "secrets": {"by": "external_secrets", "store": "aws", "names": {"redis-url": "prod/redis"}},
        "aws": {"role_arn": "arn:aws:iam::123456789012:role/fraud-payments"},
        "autoscale": {"rps": 50.5},
        "resources": {"cpu_limit": "2", "gpu": 1},
        "priority_class": "business-critical",
        "allowed_callers": ["payments"],
        "batch": {**BATCH, "pipelines": ["features", "large_batch"], "input_claim": "rows"},
    }
    serving = {"audit": {"sink": "https://audit.example.com/events"}, "grpc_port": 8081}
    return config_of(env, serving, **{**given, **deploy})


def pairs() -> Iterator[dict[str, Any]]:
    """Every shape on every platform in every rollout that can be."""
    for shape, rollout in itertools.product(NODES, ("direct", "canary", "shadow", "ab")):
        yield {"platform": "seldon", "shape": shape, "rollout": {"kind": rollout}}
    for shape in ("single", "transformer"):
        yield {"platform": "kserve", "shape": shape}
        for rollout in ("direct", "canary", "ab"):
            yield {"platform": "kserve", "shape": shape, "rollout": {"kind": rollout}, "serverless": True}


def as_operators_make_it(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Core objects alone, and a Deployment for each pod that an operator would make of a custom one."""
    core = [dict(one) for one in objects if one["apiVersion"].split("/")[0] in _CORE]
    ours = [pod for pod in pods_of(objects) if not pod.owner.startswith(("Deployment", "CronJob"))]
    return [*core, *(_deployment(n, pod) for n, pod in enumerate(ours))]


_CORE = ("v1", "apps", "batch", "autoscaling", "policy", "networking.k8s.io")
_OF_KSERVE = ("minReplicas", "maxReplicas", "labels", "timeout", "scaleMetric", "scaleTarget", "canaryTrafficPercent")


def _deployment(number: int, pod: Any) -> dict[str, Any]:
    spec = {key: value for key, value in pod.spec.items() if key not in _OF_KSERVE}
    template = {"metadata": {"labels": dict(pod.labels)}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"made-{number}", "namespace": "models"},
        "spec": {"selector": {"matchLabels": dict(pod.labels)}, "template": template},
    }
