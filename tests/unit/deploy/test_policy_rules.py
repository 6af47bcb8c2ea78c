"""Each rule of ours sees what it is there for, in custom resources too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from rendered_repos import NEW, NODES, OLD, config_of

from carrental_mlops.deploy.manifests.policy import check, hold
from carrental_mlops.deploy.manifests.render import render
from carrental_mlops.errors import ConfigError

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def sound() -> Objects:
    """A canary, routed, that breaks no rule."""
    route = {"by": "istio", "host": "a.example.com", "gateway": "istio-system/main"}
    config = config_of(rollout={"kind": "canary"}, route=route, shape="ensemble", nodes=NODES["ensemble"])
    objects = list(render(config, "prod", NEW, OLD).objects)
    assert check(objects) == ()
    return objects


def of(objects: Objects, kind: str) -> dict[str, Any]:
    """The last object of a kind."""
    return [one for one in objects if one["kind"] == kind][-1]


def pod(objects: Objects) -> dict[str, Any]:
    """The canary's pod."""
    spec: dict[str, Any] = of(objects, "SeldonDeployment")["spec"]["predictors"][1]["componentSpecs"][0]["spec"]
    return spec


def container(objects: Objects) -> dict[str, Any]:
    """The last container of the canary: a further model."""
    last: dict[str, Any] = pod(objects)["containers"][-1]
    return last


def _unmade(kind: str) -> Callable[[Objects], None]:
    def edit(objects: Objects) -> None:
        objects.remove(of(objects, kind))

    return edit


def _weigh(objects: Objects) -> None:
    of(objects, "VirtualService")["spec"]["http"][0]["route"][0]["weight"] = 50


BROKEN: list[tuple[str, Callable[[Objects], Any]]] = [
    ("image-by-digest", lambda o: container(o).update(image="registry.example.com/fraud:1.2")),
    ("no-latest", lambda o: container(o).update(image="registry.example.com/fraud:latest")),
    ("restricted", lambda o: container(o)["securityContext"].update(runAsUser=0)),
    ("restricted", lambda o: container(o)["securityContext"].update(runAsNonRoot=False)),
    ("restricted", lambda o: container(o)["securityContext"].update(allowPrivilegeEscalation=True)),
    ("restricted", lambda o: container(o)["securityContext"].update(privileged=True)),
    ("restricted", lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("restricted", lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
    ("restricted", lambda o: container(o)["securityContext"].update(seccompProfile={"type": "Unconfined"})),
    ("restricted", lambda o: pod(o).update(hostNetwork=True)),
    ("restricted", lambda o: pod(o)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
    ("no-token", lambda o: pod(o).pop("automountServiceAccountToken")),
    ("probes", lambda o: container(o).pop("readinessProbe")),
    ("probes", lambda o: container(o).pop("livenessProbe")),
    ("limits", lambda o: container(o)["resources"]["limits"].pop("memory")),
    ("limits", lambda o: container(o)["resources"].pop("requests")),
    ("default-deny", lambda o: [o.remove(one) for one in list(o) if one["kind"] == "NetworkPolicy"]),
    ("default-deny", lambda o: of(o, "NetworkPolicy")["spec"]["egress"].append({})),
    ("minimum-below-maximum", lambda o: of(o, "HorizontalPodAutoscaler")["spec"].update(minReplicas=11)),
    ("minimum-below-maximum", lambda o: of(o, "HorizontalPodAutoscaler")["spec"].update(minReplicas=0)),
    ("disruption-budget", _unmade("PodDisruptionBudget")),
    ("weights", _weigh),
    ("weights", lambda o: of(o, "SeldonDeployment")["spec"]["predictors"][0].update(traffic=80)),
    ("no-raw-payloads", lambda o: of(o, "SeldonDeployment")["spec"]["predictors"][0]["graph"].update(logger={})),
]


@pytest.mark.parametrize(("rule", "breaks"), BROKEN, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BROKEN)])
def test_a_broken_rule_is_found_and_no_other(sound: Objects, rule: str, breaks: Callable[[Objects], Any]) -> None:
    objects = copy.deepcopy(sound)
    breaks(objects)
    found = check(objects)
    assert rule in {finding.rule for finding in found}
    assert {finding.rule for finding in found} <= {rule, "image-by-digest"}
    with pytest.raises(ConfigError, match=rule):
        hold(objects)


def test_an_inference_service_is_looked_into_too() -> None:
    config = config_of(platform="kserve", shape="transformer", nodes=NODES["transformer"])
    objects = copy.deepcopy(list(render(config, "prod", NEW).objects))
    for part in ("predictor", "transformer"):
        of(objects, "InferenceService")["spec"][part]["containers"][0]["image"] = "fraud:latest"
    assert [finding.rule for finding in check(objects)].count("no-latest") == 2


def test_the_error_names_object_container_and_what_is_wrong(sound: Objects) -> None:
    objects = copy.deepcopy(sound)
    container(objects).pop("livenessProbe")
    with pytest.raises(ConfigError) as caught:
        hold(objects)
    place = "SeldonDeployment/fraud-payments canary container seldon-container-engine"
    assert f"{place}: no livenessProbe (probes)" in str(caught.value)
