"""The control plane that the other cluster tests use is a real one: it runs pods on its nodes, and refuses."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from cluster_definitions import absent, seldon_chart
from cluster_objects import deployment, inference_service, seldon_deployment
from control_plane import ControlPlane, missing
from operator_stand_in import OperatorStandIn
from seldon_operator import seldon_operator

pytestmark = pytest.mark.e2e
needs_pods = pytest.mark.skipif(
    missing("kube-controller-manager", "kube-scheduler", "kwok") is not None,
    reason=str(missing("kube-controller-manager", "kube-scheduler", "kwok")),
)


def _available(plane: ControlPlane, namespace: str, name: str) -> int:
    found = plane.ask(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    return int(found.get("status", {}).get("availableReplicas", 0))


def test_it_is_the_version_that_was_built(plane: ControlPlane) -> None:
    assert plane.ask("/version")["gitVersion"].startswith("v1.32.")


@needs_pods
def test_a_deployment_is_scheduled_and_becomes_available(plane: ControlPlane) -> None:
    namespace = plane.namespace("plain", restricted=True)
    answer = plane.apply([deployment("web", namespace, replicas=3)])
    assert answer.returncode == 0, answer.stderr
    plane.until(
        lambda: _available(plane, namespace, "web") == 3, "no pod became available", "kube-controller-manager", 120
    )
    zones = {pod["spec"]["nodeName"] for pod in plane.get("pods", namespace)}
    assert len(zones) == 3, "the topology spread of the pods was not heeded"


@needs_pods
def test_no_controller_and_no_node_waits_to_ask_again_for_what_the_store_cannot_stream(plane: ControlPlane) -> None:
    for name in ("kube-controller-manager", "kwok"):
        assert "RequestWatchProgress is disabled" not in (plane.folder / f"{name}.log").read_text(errors="replace")


def test_a_field_that_does_not_exist_is_refused(plane: ControlPlane) -> None:
    wrong = deployment("web", "default")
    wrong["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    answer = plane.apply([wrong], dry_run=True)
    assert answer.returncode != 0
    assert "resource" in answer.stderr


def test_a_pod_that_runs_as_root_is_refused_where_pods_are_restricted(plane: ControlPlane) -> None:
    namespace = plane.namespace("restricted", restricted=True)
    loose = deployment("web", namespace)["spec"]["template"]
    loose["spec"]["securityContext"] = {"runAsUser": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", **loose}
    pod["metadata"] = {"name": "loose", "namespace": namespace}
    answer = plane.apply([pod], dry_run=True)
    assert answer.returncode != 0
    assert "violates PodSecurity" in answer.stderr


def test_every_definition_that_was_fetched_is_served(definitions: list[str]) -> None:
    if lacking := absent():
        pytest.skip(f"no definitions of {', '.join(lacking)}; run `make control-plane`")
    kinds = {
        "seldondeployments.machinelearning.seldon.io",
        "inferenceservices.serving.kserve.io",
        "servicemonitors.monitoring.coreos.com",
        "prometheusrules.monitoring.coreos.com",
        "scaledobjects.keda.sh",
        "externalsecrets.external-secrets.io",
        "secretproviderclasses.secrets-store.csi.x-k8s.io",
        "virtualservices.networking.istio.io",
        "httproutes.gateway.networking.k8s.io",
    }
    assert kinds <= set(definitions)


def test_sound_objects_of_both_platforms_are_taken(plane: ControlPlane, definitions: list[str]) -> None:
    namespace = plane.namespace("sound")
    objects = [
        seldon_deployment("risk", namespace, {"champion": 75, "canary": 25}),
        inference_service("score", namespace),
    ]
    answer = plane.apply(objects, dry_run=True)
    assert answer.returncode == 0, answer.stderr


def _with(change: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(seldon_deployment("risk", "default", {"champion": 100}))
    found["spec"]["predictors"][0] |= change
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [({"trafic": 100}, "trafic"), ({"graph": {"name": "risk", "kind": "MODEL"}}, "kind"), ({"graph": {}}, "name")],
)
def test_a_seldon_deployment_with_an_unknown_or_missing_field_is_refused(
    plane: ControlPlane, definitions: list[str], change: dict[str, Any], said: str
) -> None:
    answer = plane.apply([_with(change)], dry_run=True)
    assert answer.returncode != 0
    assert said in answer.stderr


@pytest.mark.skipif(seldon_chart() is not None and seldon_operator() is None,
                    reason="Seldon's own webhook checks this, and no SELDON_OPERATOR runs it")  # fmt: skip
def test_traffic_that_does_not_sum_to_100_is_refused(plane: ControlPlane, operators: OperatorStandIn) -> None:
    answer = plane.apply([seldon_deployment("risk", "default", {"champion": 90, "canary": 25})], dry_run=True)
    assert answer.returncode != 0
    assert "sum to 100" in answer.stderr


@needs_pods
def test_a_canary_runs_beside_the_champion_and_uninstall_leaves_nothing(
    plane: ControlPlane, operators: OperatorStandIn
) -> None:
    namespace = plane.namespace("canary", restricted=True)
    path = f"/apis/machinelearning.seldon.io/v1/namespaces/{namespace}/seldondeployments/risk"

    def runs(*predictors: str) -> bool:
        status = plane.ask(path).get("status", {})
        names = {f"risk-{predictor}-0-risk" for predictor in predictors}
        return status.get("state") == "Available" and set(status["deploymentStatus"]) == names

    for weights in ({"champion": 100}, {"champion": 75, "canary": 25}, {"champion": 100}):
        assert plane.apply([seldon_deployment("risk", namespace, weights)]).returncode == 0
        plane.until(
            lambda weights=weights: runs(*weights), f"{list(weights)} do not run", "kube-controller-manager", 180
        )
    plane.kubectl("delete", "seldondeployment", "risk", "-n", namespace)
    plane.until(lambda: not plane.get("pods", namespace), "pods are left", "kube-controller-manager", 180)


def test_what_was_applied_outlives_an_apiserver_that_is_killed(plane: ControlPlane) -> None:
    namespace = plane.namespace("outlives")
    assert plane.apply([deployment("web", namespace)]).returncode == 0
    plane.kill("kube-apiserver")
    assert plane.apply([deployment("other", namespace)]).returncode != 0
    began = time.monotonic()
    plane.start_apiserver()
    assert time.monotonic() - began < 60
    names = [one["metadata"]["name"] for one in plane.get("deployments.apps", namespace)]
    assert names == ["web"]
