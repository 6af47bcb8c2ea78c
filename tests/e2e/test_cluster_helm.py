"""A service is installed, tried beside the champion, promoted, taken back and removed, on both platforms."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_releases import SERVICE, Case
from control_plane import ControlPlane
from releases import release

from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.manifests.values import as_helm
from carrental_mlops.errors import PlatformError

pytestmark = pytest.mark.e2e
SELDON = Case("seldon", "single", "canary", serverless=False)
KSERVE = Case("kserve", "single", "canary", serverless=True)
KINDS = ("seldondeployments,inferenceservices,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,services,"
         "servicemonitors")  # fmt: skip


@pytest.fixture
def place(
    plane: ControlPlane, definitions: list[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A namespace for one test; Helm reads the kubeconfig of the environment."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    name = plane.namespace("helm-" + re.sub(r"[^a-z]+", "-", request.node.name.removeprefix("test_"))[-50:].strip("-"))
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def _values(case: Case, namespace: str, version: int, beside: int | None = None) -> dict[str, Any]:
    config = case.config(namespace=namespace)
    before = release(f"prod-{beside}", str(beside)) if beside else None
    return as_helm(render(config, "prod", release(f"prod-{version}", str(version)), before).values)


def _upgrade(case: Case, namespace: str, version: int, beside: int | None = None) -> helm.Installed:
    return helm.upgrade(helm.chart_dir(), SERVICE, namespace, _values(case, namespace, version, beside))


def _tracks(plane: ControlPlane, namespace: str) -> dict[str, tuple[str, int]]:
    """Predictor to model version and share of requests, as the cluster has them; KServe has one, its newest."""
    version = "crm.carrental/model-version"
    found = {
        one["name"]: (one["labels"][version], one["traffic"])
        for deployment in plane.get("seldondeployments", namespace)
        for one in deployment["spec"]["predictors"]
    }
    for service in plane.get("inferenceservices", namespace):
        newest = service["spec"]["predictor"]
        found[newest["labels"]["crm.carrental/track"]] = (
            newest["labels"][version],
            newest.get("canaryTrafficPercent", 100),
        )
    return found


def test_a_dry_run_on_the_server_changes_nothing(plane: ControlPlane, place: str) -> None:
    planned = helm.upgrade(helm.chart_dir(), SERVICE, place, _values(SELDON, place, 3), dry_run="server")
    assert {one["kind"] for one in planned.objects} >= {"SeldonDeployment", "NetworkPolicy"}
    assert _tracks(plane, place) == {}
    assert helm.revisions(SERVICE, place) == ()


@pytest.mark.parametrize("case", [SELDON, KSERVE], ids=str)
def test_installed_tried_promoted_taken_back_and_removed(plane: ControlPlane, place: str, case: Case) -> None:
    _upgrade(case, place, 3)
    assert _tracks(plane, place) == {"champion": ("3", 100)}
    _upgrade(case, place, 4, beside=3)
    first = case.config().deploy.rollout.steps[0]
    canary = {"canary": ("4", first)}
    assert _tracks(plane, place) == (canary if case is KSERVE else canary | {"champion": ("3", 100 - first)})
    _upgrade(case, place, 4)
    assert _tracks(plane, place) == {"champion": ("4", 100)}
    began = time.monotonic()
    helm.rollback(SERVICE, place, 1)
    assert time.monotonic() - began < 60
    assert _tracks(plane, place) == {"champion": ("3", 100)}
    helm.uninstall(SERVICE, place)
    helm.uninstall(SERVICE, place)
    assert plane.get(KINDS, place) == []


def test_a_cluster_that_does_not_answer_is_a_platform_error(plane: ControlPlane, place: str) -> None:
    plane.kill("kube-apiserver")
    try:
        with pytest.raises(PlatformError) as caught:
            _upgrade(SELDON, place, 3)
    finally:
        plane.start_apiserver()
    assert caught.value.retryable
