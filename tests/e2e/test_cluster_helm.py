"""A service is installed, upgraded, taken back and removed by Helm; what cuts Helm off does not stay unreported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_releases import SERVICE, Case
from control_plane import ControlPlane
from releases import release

from carrental_mlops.deploy import helm
from carrental_mlops.deploy.values import as_helm, values_of
from carrental_mlops.errors import PlatformError

pytestmark = pytest.mark.e2e
CASE = Case("seldon", "single", "canary", serverless=False)
UPGRADE = """
import json, sys
from carrental_mlops.deploy.helm import chart_dir, upgrade
from carrental_mlops.errors import CrmError
try:
    print(upgrade(chart_dir(), sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))).revision)
except CrmError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
"""In a process of its own, so that it may hang or die alone."""


@pytest.fixture
def place(
    plane: ControlPlane, definitions: list[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A namespace for one test; Helm reads the kubeconfig of the environment."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    name = plane.namespace("helm-" + request.node.name.removeprefix("test_").replace("_", "-")[:50].strip("-"))
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def _values(namespace: str, version: int, *, beside: int | None = None) -> dict[str, Any]:
    config = CASE.config(namespace=namespace)
    before = release(f"prod-{beside}", str(beside)) if beside else None
    return as_helm(values_of(config, "prod", release(f"prod-{version}", str(version)), before))


def _upgrade(namespace: str, version: int, *, beside: int | None = None) -> helm.Installed:
    return helm.upgrade(helm.chart_dir(), SERVICE, namespace, _values(namespace, version, beside=beside))


def _predictors(plane: ControlPlane, namespace: str) -> dict[str, str]:
    """Predictor to model version, as the cluster has them."""
    found = plane.get("seldondeployments", namespace)
    return {
        one["name"]: one["labels"]["crm.carrental/model-version"]
        for deployment in found
        for one in deployment["spec"]["predictors"]
    }


def _process(namespace: str, values: Path, plane: ControlPlane) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UPGRADE, SERVICE, namespace, str(values)],
        env=os.environ | {"KUBECONFIG": str(plane.kubeconfig)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_dry_run_on_the_server_changes_nothing(plane: ControlPlane, place: str) -> None:
    planned = helm.upgrade(helm.chart_dir(), SERVICE, place, _values(place, 3), dry_run="server")
    assert {one["kind"] for one in planned.objects} >= {"SeldonDeployment", "NetworkPolicy"}
    assert _predictors(plane, place) == {}
    assert helm.revisions(SERVICE, place) == ()


def test_installed_upgraded_to_a_canary_taken_back_and_removed(plane: ControlPlane, place: str) -> None:
    _upgrade(place, 3)
    assert _predictors(plane, place) == {"champion": "3"}
    _upgrade(place, 4, beside=3)
    assert _predictors(plane, place) == {"champion": "3", "canary": "4"}
    _upgrade(place, 4)
    assert _predictors(plane, place) == {"champion": "4"}
    began = time.monotonic()
    helm.rollback(SERVICE, place, 1)
    assert time.monotonic() - began < 60
    assert _predictors(plane, place) == {"champion": "3"}
    helm.uninstall(SERVICE, place)
    helm.uninstall(SERVICE, place)
    left = plane.get("seldondeployments,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers", place)
    assert left == []


def test_a_cluster_that_goes_away_in_the_middle_is_said_and_the_next_upgrade_works(
    plane: ControlPlane, place: str, tmp_path: Path
) -> None:
    _upgrade(place, 3)
    values = tmp_path / "values.json"
    values.write_text(json.dumps(_values(place, 4, beside=3)))
    running = _process(place, values, plane)
    plane.until(lambda: _pending(plane, place), "Helm did not begin", "kube-apiserver", 30)
    plane.kill("kube-apiserver")
    try:
        _, said = running.communicate(timeout=120)
    finally:
        running.kill()
        plane.start_apiserver()
    assert running.returncode != 0, "the upgrade was over before the cluster went away"
    assert said.startswith("PlatformError"), said
    assert _predictors(plane, place)["champion"] == "3", "the last good one does not run"
    _upgrade(place, 4, beside=3)
    assert _predictors(plane, place) == {"champion": "3", "canary": "4"}


def _pending(plane: ControlPlane, namespace: str) -> bool:
    path = f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm,status%3Dpending-upgrade"
    return bool(plane.ask(path)["items"])


def test_of_two_upgrades_at_once_one_wins_and_the_other_is_told(
    plane: ControlPlane, place: str, tmp_path: Path
) -> None:
    _upgrade(place, 3)
    running = []
    for version in (4, 5):
        values = tmp_path / f"{version}.json"
        values.write_text(json.dumps(_values(place, version)))
        running.append(_process(place, values, plane))
    ended = {
        version: (*one.communicate(timeout=120), one.returncode) for version, one in zip((4, 5), running, strict=True)
    }
    won = {version for version, (_, _, code) in ended.items() if code == 0}
    assert won, ended
    assert all(said.startswith("PlatformError") for _, said, code in ended.values() if code != 0)
    assert _predictors(plane, place)["champion"] in {str(version) for version in won}
    assert [one.status for one in helm.revisions(SERVICE, place)].count("deployed") == 1


def test_a_cluster_that_does_not_answer_is_a_platform_error(plane: ControlPlane, place: str) -> None:
    plane.kill("kube-apiserver")
    try:
        with pytest.raises(PlatformError) as caught:
            _upgrade(place, 3)
    finally:
        plane.start_apiserver()
    assert caught.value.retryable
