"""Stands in for Seldon's and KServe's operators, and for a provisioner of disks, on the test control plane.

Out of each SeldonDeployment and InferenceService it makes real Deployments, one a component of a predictor, which the
real controllers, scheduler and kwok bring up, and it reports back what they came to, in the fields that the operators
use; their names are those that the operators give. It makes no network route and no executor: what requests do is not
shown by it.
"""

from __future__ import annotations

import threading
import urllib.error
from collections.abc import Iterator
from typing import Any

from control_plane import ControlPlane

_Object = dict[str, Any]
_SELDON = "/apis/machinelearning.seldon.io/v1"
_KSERVE = "/apis/serving.kserve.io/v1beta1"
_POLL_S = 0.3
_MINE = "operator-stand-in"
_OWNER = "stand-in/owner"
_NOT_OF_POD = frozenset(
    {"annotations", "canaryTrafficPercent", "deploymentStrategy", "labels", "maxReplicas", "minReplicas"}
    | {"scaleMetric", "scaleTarget", "timeout"}
)
"""Fields of a part of an InferenceService that are not of its pods."""


class OperatorStandIn:
    """Reconciles in a thread between `start` and `stop`.

    Args:
        plane: the control plane.
        seldon: also SeldonDeployments; False where Seldon's own operator runs.
    """

    def __init__(self, plane: ControlPlane, *, seldon: bool = True) -> None:
        self._plane, self._seldon = plane, seldon
        self._over = threading.Event()
        self._disks: set[str] = set()
        self._thread = threading.Thread(target=self._run, name=_MINE, daemon=True)

    def start(self) -> None:
        """Begin to reconcile."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that runs."""
        self._over.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._over.wait(_POLL_S):
            try:
                self._round()
            except (OSError, urllib.error.HTTPError):
                continue  # the apiserver is away or the object changed meanwhile: the next round sees

    def _round(self) -> None:
        for item in self._plane.ask(f"{_SELDON}/seldondeployments")["items"] if self._seldon else ():
            self._reconcile(item, f"{_SELDON}/namespaces/{{}}/seldondeployments/{{}}", list(_seldon_parts(item)))
        for item in self._plane.ask(f"{_KSERVE}/inferenceservices")["items"]:
            self._reconcile(item, f"{_KSERVE}/namespaces/{{}}/inferenceservices/{{}}", list(_kserve_parts(item)))

        for claim in self._plane.ask("/api/v1/persistentvolumeclaims")["items"]:
            if claim["status"].get("phase") == "Pending" and claim["metadata"]["uid"] not in self._disks:
                self._plane.ask("/api/v1/persistentvolumes", "POST", _disk(claim))
                self._disks.add(claim["metadata"]["uid"])

    def _reconcile(self, item: _Object, path: str, wanted: list[_Object]) -> None:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        if item["metadata"].get("deletionTimestamp"):
            return
        deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        for deployment in wanted:
            patch = f"{deployments}/{deployment['metadata']['name']}?fieldManager={_MINE}&force=true"
            self._plane.ask(patch, "PATCH", deployment, "application/apply-patch+yaml")
        owned = self._plane.ask(f"{deployments}?labelSelector={_OWNER}%3D{name}")["items"]
        names = {one["metadata"]["name"] for one in wanted}
        for one in owned:
            if one["metadata"]["name"] not in names:
                self._plane.ask(f"{deployments}/{one['metadata']['name']}", "DELETE")
        status = _status(item, {one["metadata"]["name"]: one for one in owned}, names)
        if status != item.get("status"):
            whole = [{"op": "add", "path": "/status", "value": status}]
            self._plane.ask(f"{path.format(namespace, name)}/status", "PATCH", whole, "application/json-patch+json")


def _seldon_parts(item: _Object) -> Iterator[_Object]:
    """`<name>-<predictor>-<index>-<name of the component, else of its containers>`, as Seldon names them."""
    name = item["metadata"]["name"]
    for predictor in item["spec"]["predictors"]:
        for index, component in enumerate(predictor.get("componentSpecs", [])):
            about = component.get("metadata", {})
            last = about.get("name") or "-".join(one["name"] for one in component["spec"]["containers"])
            labels = {**predictor.get("labels", {}), **about.get("labels", {}), "seldon-deployment-id": name}
            replicas = component.get("replicas") or predictor.get("replicas") or item["spec"].get("replicas")
            full = f"{name}-{predictor['name']}-{index}-{last}"
            yield _deployment(item, full, labels, component["spec"], replicas)


def _kserve_parts(item: _Object) -> Iterator[_Object]:
    """`<name>-<part>`, as KServe's raw deployments are named."""
    name, about = item["metadata"]["name"], item["metadata"]
    scaled_by_others = about.get("annotations", {}).get("serving.kserve.io/autoscalerClass") == "external"
    for role in ("predictor", "transformer", "explainer"):
        if part := item["spec"].get(role):
            pod = {key: value for key, value in part.items() if key not in _NOT_OF_POD}
            labels = {**about.get("labels", {}), **part.get("labels", {}), "serving.kserve.io/inferenceservice": name}
            replicas = None if scaled_by_others else part.get("minReplicas")
            yield _deployment(item, f"{name}-{role}", labels, pod, replicas)


def _disk(claim: _Object) -> _Object:
    """A volume for one claim."""
    about = claim["metadata"]
    reference = {"kind": "PersistentVolumeClaim", **{key: about[key] for key in ("namespace", "name", "uid")}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"disk-{about['uid']}"},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": claim["spec"]["resources"]["requests"],
            "storageClassName": claim["spec"].get("storageClassName", ""),
            "claimRef": reference,
            "hostPath": {"path": "/stand-in"},
        },
    }


def _deployment(item: _Object, name: str, labels: dict[str, str], pod: _Object, replicas: int | None) -> _Object:
    owner = item["metadata"]
    reference = {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": {**labels, _OWNER: owner["name"]},
            "ownerReferences": [reference],
        },
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": {"stand-in/part": name}},
            "template": {"metadata": {"labels": {**labels, "stand-in/part": name}}, "spec": pod},
        },
    }


def _status(item: _Object, running: dict[str, _Object], wanted: set[str]) -> _Object:
    """In the words of the operator: Seldon's `state`, and conditions of both."""
    up = wanted <= running.keys() and all(_is_up(running[name]) for name in wanted)
    word = "True" if up else "False"
    if item["kind"] == "InferenceService":
        conditions = [{"type": kind, "status": word} for kind in ("PredictorReady", "Ready")]
        return {"observedGeneration": item["metadata"]["generation"], "conditions": conditions}
    parts = {
        name: {"replicas": running[name]["spec"]["replicas"], "availableReplicas": _available(running[name])}
        for name in sorted(wanted & running.keys())
    }
    conditions = [{"type": kind, "status": word} for kind in ("DeploymentsReady", "Ready")]
    return {"state": "Available" if up else "Creating", "deploymentStatus": parts, "conditions": conditions}


def _is_up(deployment: _Object) -> bool:
    """All of its replicas are of the newest template and available."""
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    updated = status.get("updatedReplicas", 0) == status.get("replicas", 0) == _available(deployment) == replicas
    return bool(updated and status.get("observedGeneration") == deployment["metadata"]["generation"])


def _available(deployment: _Object) -> int:
    return int(deployment.get("status", {}).get("availableReplicas", 0))
