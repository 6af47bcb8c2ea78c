"""A cluster takes what the chart makes of every supported shape, platform and rollout, field by field, and runs it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from typing import Any

import pytest
from cluster_releases import EXAMPLE, SERVICE, Case, objects, supported
from control_plane import ControlPlane, missing, true_conditions
from operator_stand_in import OperatorStandIn
from releases import release
from seldon_operator import seldon_operator

from carrental_mlops.assets import asset_dir
from carrental_mlops.config.deploy import Platform
from carrental_mlops.core.repo import open_repo
from carrental_mlops.deploy.cluster.kubernetes import Cluster
from carrental_mlops.deploy.cluster.site import Site
from carrental_mlops.deploy.cluster.status import of_batch
from carrental_mlops.deploy.manifests import helm
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.deploy.observe.alerts import alerts_of
from carrental_mlops.deploy.releases.store import ReleaseStore

pytestmark = pytest.mark.e2e
CASES = tuple(supported())
_APART = "{{name: {}, kind: {}, uses: 'carrental_mlops.serving.nodes:Anything'}}"
ROUTES = {
    "istio": ("deploy.route={by: istio, host: fraud.example.com, gateway: ingress/main}",),
    "gateway": ("deploy.route={by: gateway, host: fraud.example.com, gateway: ingress/main}",),
    "ambassador": ("deploy.route={by: ambassador, host: fraud.example.com}",),
}
OPTIONS = {
    **ROUTES,
    "header": (*ROUTES["istio"], "deploy.rollout.header=x-variant", "deploy.rollout.kind=ab"),
    "keda": ("deploy.autoscale={by: keda, rps: 50, p99_ms: 80}",),
    "hpa by requests": ("deploy.autoscale={rps: 50, p99_ms: 80}",),
    "external secrets": ("deploy.secrets={by: external_secrets, store: aws, names: {redis-url: fraud/redis}}",),
    "csi": ("deploy.secrets={by: csi, store: aws, names: {redis-url: fraud/redis}}",),
    "gpu": ("deploy.resources.gpu=1",),
    "irsa": ("deploy.aws.role_arn=arn:aws:iam::123456789012:role/fraud",),
    "callers": ("deploy.allowed_callers=[checkout, branches]",),
    "priority": ("deploy.priority_class=system-cluster-critical",),
    "explainer": (f"deploy.nodes=[{_APART.format('why', 'explainer')}, {_APART.format('odd', 'outlier_detector')}]",),
}
SELDON = Case("seldon", "single", "canary", serverless=False)


def _apply(plane: ControlPlane, made: Sequence[dict[str, Any]], *, dry_run: bool = False) -> None:
    answer = plane.apply(made, dry_run=dry_run)
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_server_takes_every_field_in_every_environment(
    plane: ControlPlane, definitions: list[str], case: Case
) -> None:
    namespace = plane.namespace("models", restricted=True)
    environments = ("local", "staging", "prod")
    made = [one for env in environments for one in objects(case.config(env=env, namespace=namespace), env)]
    _apply(plane, made, dry_run=True)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_server_takes_every_field_of_an_option(plane: ControlPlane, definitions: list[str], option: str) -> None:
    namespace = plane.namespace("models", restricted=True)
    _apply(plane, objects(SELDON.config(*OPTIONS[option], namespace=namespace)), dry_run=True)


def test_the_server_takes_every_field_of_the_platform_chart(plane: ControlPlane, definitions: list[str]) -> None:
    namespace = plane.namespace("monitoring")
    teams = {"risk-ds": {"pager": "pagerduty", "chat": "#risk", "mail": "risk-ds@example.com"}}
    values = {"alertmanager": {"teams": teams}, "bootstrap": {"image": f"python@sha256:{'a' * 64}"}}
    made = helm.render(values, "platform", namespace, asset_dir("helm") / "platform")
    assert {one["kind"] for one in made} >= {"ConfigMap", "Secret"}
    _apply(plane, [_in(namespace, one) for one in made], dry_run=True)


def _in(namespace: str, made: dict[str, Any]) -> dict[str, Any]:
    """As Helm does with an object that names no namespace."""
    return {**made, "metadata": {"namespace": namespace, **made["metadata"]}}


@pytest.mark.skipif(missing("kube-controller-manager", "kube-scheduler", "kwok") is not None,
                    reason=str(missing("kube-controller-manager", "kube-scheduler", "kwok")))  # fmt: skip
@pytest.mark.parametrize("case", CASES, ids=str)
def test_its_pods_run_restricted_and_a_second_apply_changes_nothing(
    plane: ControlPlane, operators: OperatorStandIn, case: Case
) -> None:
    namespace = plane.namespace(f"runs-{case}", restricted=True)
    made = objects(case.config("deploy.autoscale.minimum=2", namespace=namespace))
    _apply(plane, made)
    plane.until(lambda: _runs(plane, namespace), f"{case} does not run", "kube-controller-manager", 180)
    if case.platform == "seldon":
        tracks = _pods_of_tracks(plane, namespace)
        assert tracks.keys() == {"champion", *({case.rollout} - {"direct"})}
        if seldon_operator():
            assert {track: _behind(plane, namespace, f"{SERVICE}-{track}") for track in tracks} == tracks
    before = _generations(plane, namespace)
    _apply(plane, made)
    assert _generations(plane, namespace) == before
    plane.kubectl(
        "delete", "-f", "-", "--wait=false", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    )
    plane.until(lambda: not plane.get("pods", namespace), "pods are left", "kube-controller-manager", 180)


@pytest.mark.skipif(missing("kube-controller-manager", "kube-scheduler", "kwok") is not None,
                    reason=str(missing("kube-controller-manager", "kube-scheduler", "kwok")))  # fmt: skip
@pytest.mark.parametrize("case", [case for case in CASES if case.rollout == "direct" and not case.serverless], ids=str)
def test_the_next_release_takes_the_place_of_the_last_and_then_nobody_writes_any_more(
    plane: ControlPlane, operators: OperatorStandIn, case: Case
) -> None:
    namespace = plane.namespace(f"next-{case}", restricted=True)
    config = case.config("deploy.autoscale.minimum=2", namespace=namespace)
    for name in ("prod-2", "prod-3"):
        _apply(plane, render(config, "prod", release(name, name[-1])).objects)
        try:
            plane.until(lambda name=name: _all_of(plane, namespace, name), f"{name} does not run", "kwok", 120)
        except AssertionError as error:
            error.add_note(plane.kubectl("get", "pods,pvc,deployments,seldondeployments", "-n", namespace, "-o",
                                         "json").stdout)  # fmt: skip
            raise
        before = _generations(plane, namespace)
        time.sleep(3)
        assert _generations(plane, namespace) == before
    kinds = "seldondeployments,inferenceservices,horizontalpodautoscalers"
    plane.kubectl("delete", kinds, "--all", "-n", namespace, "--wait=false")


@pytest.mark.skipif(missing("kube-controller-manager", "kube-scheduler", "kwok") is not None,
                    reason=str(missing("kube-controller-manager", "kube-scheduler", "kwok")))  # fmt: skip
@pytest.mark.parametrize("platform", ["seldon", "kserve"])
def test_a_run_of_the_batch_job_starts_in_a_restricted_namespace_and_status_and_runbook_say_who_stopped_it(
    plane: ControlPlane, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = plane.namespace(f"batch-{platform}", restricted=True)
    config = Case(platform, "single", "direct", serverless=False).config(namespace=namespace)
    rendered = objects(config)
    made = [one for one in rendered if one["metadata"]["name"] == f"{SERVICE}-batch"]
    assert {one["kind"] for one in made} == {"CronJob", "ServiceAccount", "NetworkPolicy"}
    _apply(plane, made)
    late = next(alert for alert in alerts_of(config, "prod") if alert.name == "BatchLate")
    plane.kubectl(*shlex.split(late.commands[2])[1:])
    ours = ("-l", f"app.kubernetes.io/name={SERVICE},crm.carrental/part=batch")
    said = "no pod of the batch job"
    plane.until(lambda: bool(plane.get("pods", namespace, *ours)), said, "kube-controller-manager", 120)
    (pod,) = plane.get("pods", namespace, *ours)
    assert pod["spec"]["containers"][0]["command"] == ["crm", "run", "batch_inference"]
    assert pod["spec"]["serviceAccountName"] == f"{SERVICE}-batch"
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    repo = open_repo(EXAMPLE, "prod")
    site = Site(repo, "prod", ReleaseStore(repo.root, "releases/"), Cluster(namespace))
    values = {"batch": {"job": {"suspend": False}}}
    assert (job := site.batch()) and not job.suspended and job.schedule == "0 3 * * *"
    assert not of_batch(values, job)
    plane.kubectl("patch", "cronjob", f"{SERVICE}-batch", "-n", namespace, "-p", '{"spec": {"suspend": true}}')
    assert of_batch(values, site.batch()) == ["the batch job was suspended in the cluster: no run is started"]
    shown = plane.kubectl(*shlex.split(late.commands[0])[1:]).stdout
    assert "Suspend:                       True" in shown and f"{SERVICE}-batch-by-hand" in shown
    plane.kubectl("delete", "cronjob", f"{SERVICE}-batch", "-n", namespace)
    assert of_batch(values, site.batch()) == ["the batch job is not in the cluster"]


def _runs(plane: ControlPlane, namespace: str) -> bool:
    """The operator says ready, and every pod is."""
    seldon, kserve = (plane.get(kind, namespace) for kind in ("seldondeployments", "inferenceservices"))
    said = [one.get("status", {}).get("state") == "Available" for one in seldon]
    said += [
        any(
            condition == {"type": "Ready", "status": "True"}
            for condition in one.get("status", {}).get("conditions", [])
        )
        for one in kserve
    ]
    pods = plane.get("pods", namespace, "-l", f"app.kubernetes.io/name={SERVICE}")
    return bool(said) and all(said) and bool(pods) and all(pod["status"]["phase"] == "Running" for pod in pods)


def _all_of(plane: ControlPlane, namespace: str, name: str) -> bool:
    """Two ready pods of this release, as `autoscale.minimum` wants, and none of another."""
    pods = plane.get("pods", namespace, "-l", f"app.kubernetes.io/name={SERVICE}")
    ready = [pod for pod in pods if "Ready" in true_conditions(pod)]
    releases = {pod["metadata"]["labels"]["crm.carrental/release"] for pod in pods}
    return releases == {name} and len(ready) == len(pods) >= 2 and _runs(plane, namespace)


def _pods_of_tracks(plane: ControlPlane, namespace: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pod in plane.get("pods", namespace, "-l", "crm.carrental/part=predictor"):
        about = pod["metadata"]
        found.setdefault(about["labels"]["crm.carrental/track"], set()).add(about["name"])
    return found


def _behind(plane: ControlPlane, namespace: str, service: str) -> set[str]:
    """Pods that the requests to a Service reach."""
    slices = plane.get("endpointslices", namespace, "-l", f"kubernetes.io/service-name={service}")
    return {end["targetRef"]["name"] for one in slices for end in one["endpoints"] or () if end["conditions"]["ready"]}


def _generations(plane: ControlPlane, namespace: str) -> dict[str, int]:
    kinds = "deployments.apps,seldondeployments,inferenceservices,networkpolicies,poddisruptionbudgets"
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["generation"] for one in plane.get(kinds, namespace)
    }
