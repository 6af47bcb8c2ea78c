"""Plain objects that a cluster must take: the least that meets the restricted pod security standard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE = f"registry.example/service@sha256:{'0' * 64}"
_SECURE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def pod_spec(container: str = "service") -> dict[str, Any]:
    """A pod of one container."""
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    return {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": container, "image": IMAGE, "resources": resources, "securityContext": _SECURE}],
    }


def deployment(name: str, namespace: str, replicas: int = 1) -> dict[str, Any]:
    """A Deployment whose replicas go to different zones."""
    labels = {"app.kubernetes.io/name": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": pod_spec() | {"topologySpreadConstraints": [spread]},
            },
        },
    }


def seldon_deployment(name: str, namespace: str, weights: Mapping[str, int]) -> dict[str, Any]:
    """A SeldonDeployment with one predictor for each weight, and no orchestrator before its only node."""
    predictors = [
        {
            "name": predictor,
            "traffic": weight,
            "annotations": {"seldon.io/no-engine": "true"},
            "graph": {"name": name, "type": "MODEL"},
            "componentSpecs": [{"spec": pod_spec(name)}],
        }
        for predictor, weight in weights.items()
    ]
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"protocol": "v2", "predictors": predictors},
    }


def inference_service(name: str, namespace: str) -> dict[str, Any]:
    """An InferenceService of one predictor."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"predictor": {"minReplicas": 1, **pod_spec("kserve-container")}},
    }
