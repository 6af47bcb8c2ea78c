"""What a release changes, in the words of whoever reads the merge request."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from carrental_mlops.deploy.diff.objects import as_json, as_markdown, diff, summary

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: fraud
  namespace: models
  labels: {app.kubernetes.io/name: fraud, crm.carrental/release: prod-6}
spec:
  replicas: 3
  selector: {matchLabels: {app: fraud}}
  template:
    metadata: {labels: {app: fraud, crm.carrental/release: prod-6}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: model
          image: registry.example.com/fraud@sha256:MODEL
          args: [--env, prod]
          env: [{name: A, value: "1"}, {name: B, value: "2"}]
          ports: [{name: http, containerPort: 8080}, {name: grpc, containerPort: 8081}]
          resources: {limits: {memory: 512Mi}, requests: {cpu: "1", memory: 512Mi}}
          readinessProbe: {httpGet: {path: /v2/health/ready, port: http}, periodSeconds: 5}
        - name: audit
          image: registry.example.com/audit@sha256:AUDIT
""".replace("MODEL", "a" * 64).replace("AUDIT", "c" * 64)
SELDON = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata: {name: fraud}
spec:
  protocol: v2
  predictors:
    - name: champion
      traffic: 90
      replicas: 3
      componentSpecs: [{spec: {containers: [{name: model, resources: {limits: {memory: 512Mi}}}]}}]
      graph: {name: model, type: MODEL}
    - name: canary
      traffic: 10
      replicas: 1
      componentSpecs: [{spec: {containers: [{name: model, resources: {limits: {memory: 512Mi}}}]}}]
      graph: {name: model, type: MODEL}
"""
HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: fraud}
spec: {minReplicas: 2, maxReplicas: 10}
"""


def _said(text: str, change: Callable[[dict[str, Any]], Any]) -> list[tuple[str, bool, str | None]]:
    before = yaml.safe_load(text)
    after = copy.deepcopy(before)
    change(after)
    return [(one.said, one.restarts, one.loses) for one in diff([before], [after])]


def _pod(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def _model(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _pod(manifest)["containers"][0]
    return found


@pytest.mark.parametrize(
    ("change", "said", "restarts", "loses"),
    [
        (lambda m: _model(m)["resources"]["limits"].update(memory="1Gi"),
         "container model: memory limit 512Mi to 1Gi", True, None),
        (lambda m: _model(m)["resources"]["limits"].update(memory="256Mi"),
         "container model: memory limit 512Mi to 256Mi", True, "may be killed for memory"),
        (lambda m: _model(m)["resources"]["limits"].update(cpu="2"),
         "container model: CPU limit added: 2", True, None),
        (lambda m: _model(m)["env"][1].update(value="3"), "container model: env B 2 to 3", True, None),
        (lambda m: _model(m)["env"].insert(0, {"name": "Z", "value": "9"}),
         "container model: env Z added: 9", True, None),
        (lambda m: _model(m)["env"].pop(0), "container model: env A removed: 1", True, None),
        (lambda m: _model(m)["ports"][1].update(containerPort=9000),
         "container model: port grpc: containerPort 8081 to 9000", True, None),
        (lambda m: _model(m).update(image="registry.example.com/fraud@sha256:" + "b" * 64),
         "container model: image registry.example.com/fraud@sha256:aaaaaaaaaaaa to "
         "registry.example.com/fraud@sha256:bbbbbbbbbbbb", True, None),
        (lambda m: _model(m)["args"].append("--debug"), "container model: args with --debug", True, None),
        (lambda m: _model(m)["args"].reverse(), "container model: args in another order", True, None),
        (lambda m: _model(m).pop("readinessProbe"), "container model: readinessProbe removed", True,
         "requests may be lost when pods come and go"),
        (lambda m: _pod(m)["containers"].pop(1), "container audit removed", True, None),
        (lambda m: _pod(m).update(terminationGracePeriodSeconds=30), "grace period (s) 60 to 30", True,
         "requests in flight may be cut"),
        (lambda m: m["spec"].update(replicas=2), "replicas 3 to 2", False, "fewer pods answer"),
        (lambda m: m["spec"].update(replicas=4), "replicas 3 to 4", False, None),
        (lambda m: m["spec"].update(strategy={"type": "Recreate"}), "strategy.type added: Recreate", False,
         "all pods go before new ones come"),
        (lambda m: m["spec"]["selector"]["matchLabels"].update(app="x"), "selector.matchLabels.app fraud to x", False,
         "cannot be changed in place: it must be deleted and made again"),
    ],
)  # fmt: skip
def test_one_change_of_a_deployment_in_words(
    change: Callable[[dict[str, Any]], Any], said: str, restarts: bool, loses: str | None
) -> None:
    assert _said(DEPLOYMENT, change) == [(said, restarts, loses)]


def _traffic(manifest: dict[str, Any]) -> None:
    champion, canary = manifest["spec"]["predictors"]
    champion["traffic"], canary["traffic"] = 75, 25


def test_a_canary_that_gets_more_restarts_nothing() -> None:
    assert _said(SELDON, _traffic) == [("champion 90 % to 75 %", False, None), ("canary 10 % to 25 %", False, None)]


def test_a_predictor_is_told_by_its_name_and_its_container_restarts() -> None:
    def grow(manifest: dict[str, Any]) -> None:
        manifest["spec"]["predictors"].reverse()  # another order is no change
        found = manifest["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]
        found["resources"]["limits"]["memory"] = "1Gi"

    assert _said(SELDON, grow) == [("canary: container model: memory limit 512Mi to 1Gi", True, None)]


def test_a_canary_that_goes_loses_nothing_and_a_champion_does() -> None:
    assert _said(SELDON, lambda m: m["spec"]["predictors"].pop(1)) == [("canary removed", False, None)]
    assert _said(SELDON, lambda m: m["spec"]["predictors"].pop(0)) == [
        ("champion removed", False, "requests go unanswered")
    ]


def test_fewer_replicas_of_an_autoscaler_are_marked() -> None:
    assert _said(HPA, lambda m: m["spec"].update(minReplicas=1, maxReplicas=4)) == [
        ("minimum replicas 2 to 1", False, "fewer pods answer"),
        ("maximum replicas 10 to 4", False, "a peak may find too few pods"),
    ]


def test_objects_that_come_and_go_are_told_whole() -> None:
    hpa, service = yaml.safe_load(HPA), {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fraud"}}
    came, went = diff([hpa], [service])
    assert (came.said, came.loses) == ("HorizontalPodAutoscaler fraud is removed", "no longer scales")
    assert (went.said, went.loses) == ("Service fraud is added", None)


def test_what_the_cluster_adds_and_how_a_quantity_is_written_is_no_change() -> None:
    def live(manifest: dict[str, Any]) -> None:
        manifest["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": [{}], "generation": 3,
                                 "annotations": {"meta.helm.sh/release-name": "fraud"}}  # fmt: skip
        manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
        manifest["status"] = {"readyReplicas": 3}
        _model(manifest)["resources"]["limits"]["memory"] = "524288Ki"
        _model(manifest)["resources"]["requests"]["cpu"] = "1000m"

    assert _said(DEPLOYMENT, live) == []


def test_a_new_release_label_is_told_once_and_restarts_pods() -> None:
    before = [yaml.safe_load(DEPLOYMENT), yaml.safe_load(HPA)]
    before[1]["metadata"]["labels"] = {"crm.carrental/release": "prod-6"}
    after = (
        yaml.safe_load(yaml.safe_dump_all(before).replace("prod-6", "prod-7").split("---")[0]),
        *[yaml.safe_load(yaml.safe_dump(before[1]).replace("prod-6", "prod-7"))],
    )
    [change] = diff(before, after)
    assert (change.object, change.said) == ("2 objects", "label crm.carrental/release prod-6 to prod-7")
    assert change.restarts


def test_a_secret_is_never_shown() -> None:
    old = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}}
    [change] = diff([old], [{**old, "data": {"k": "b3RoZXI="}}])
    assert change.said == "data.k hidden to hidden"
    assert "c2VjcmV0" not in str(as_json([change]))


def test_a_long_text_is_told_by_its_lines() -> None:
    old = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"d.json": "a\nb\nc\n"}}
    assert [c.said for c in diff([old], [{**old, "data": {"d.json": "a\nB\nc\nd\n"}}])] == [
        "data.d.json changed (2 lines come, 1 go)"
    ]


def test_the_comment_for_a_merge_request_has_a_summary_and_its_marks() -> None:
    before = yaml.safe_load(DEPLOYMENT)
    after = copy.deepcopy(before)
    _model(after)["resources"]["limits"]["memory"] = "256Mi"
    found = diff([before], [after])
    assert as_markdown(found, "fraud in prod").splitlines() == [
        "### fraud in prod", "",
        "1 change; pods restart; 1 may lose availability.", "",
        "**Deployment fraud**", "",
        "- container model: memory limit 512Mi to 256Mi ⚠️ **restarts pods** ⚠️ **may be killed for memory**",
    ]  # fmt: skip
    assert summary(diff([before], [before])) == "Nothing changes."
