"""Our own rules for rendered objects: what a cluster accepts, and scanners do not see inside custom resources.

Source of the pod rules: Kubernetes' Pod Security Standards, profile `restricted`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carrental_mlops.errors import ConfigError

Object = Mapping[str, Any]
_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class PolicyBreach:
    """A rule that an object breaks."""

    rule: str
    object: str
    """`Kind/name`, and for a pod the container."""
    said: str

    def __str__(self) -> str:
        return f"{self.object}: {self.said} ({self.rule})"


@dataclass(frozen=True)
class Pod:
    """A pod as the operator will make it of an object."""

    owner: str
    """`Kind/name`, and which of its pods."""
    labels: Mapping[str, str]
    spec: Mapping[str, Any]


def check(objects: Sequence[Object]) -> tuple[PolicyBreach, ...]:
    """What is wrong with `objects`, the whole of one render; nothing when all rules hold."""
    pods = tuple(pods_of(objects))
    return tuple(finding for rule in _RULES for finding in rule(objects, pods))


def hold(objects: Sequence[Object]) -> None:
    """Refuse `objects` that break a rule.

    Raises:
        ConfigError: names every object and rule.
    """
    if found := check(objects):
        raise ConfigError(
            "\n".join(map(str, found)), "mend deploy: in crm.yaml; a chart of your own must keep these too"
        )


def pods_of(objects: Sequence[Object]) -> Iterator[Pod]:
    """Every pod that `objects` lead to: of Deployments and CronJobs, of Seldon's predictors, of KServe's components."""
    for made in objects:
        owner, spec = _name(made), made.get("spec") or {}
        if made["kind"] in ("Deployment", "CronJob"):
            template = spec["template"] if made["kind"] == "Deployment" else spec["jobTemplate"]["spec"]["template"]
            yield Pod(owner, template["metadata"].get("labels", {}), template["spec"])
        elif made["kind"] == "SeldonDeployment":
            for predictor in spec["predictors"]:
                for part in predictor["componentSpecs"]:
                    yield Pod(f"{owner} {predictor['name']}", predictor.get("labels", {}), part["spec"])
        elif made["kind"] == "InferenceService":
            for part in ("predictor", "transformer"):
                if component := spec.get(part):
                    yield Pod(f"{owner} {part}", component.get("labels", {}), component)


def _name(made: Object) -> str:
    return f"{made['kind']}/{made['metadata']['name']}"


def _containers(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for container in (*pod.spec.get("initContainers", ()), *pod.spec["containers"]):
        yield f"{pod.owner} container {container.get('name')}", container


def _images(_: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for pod in pods:
        for place, container in _containers(pod):
            image = str(container.get("image", ""))
            if not _DIGEST.fullmatch(image):
                yield PolicyBreach("image-by-digest", place, f"image `{image}` is not pinned by digest")
            if ":latest" in image:
                yield PolicyBreach("no-latest", place, f"image `{image}` is whatever is newest")


def _restricted(_: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for pod in pods:
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield PolicyBreach("restricted", pod.owner, f"{key} is on")
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield PolicyBreach("no-token", pod.owner, "the token of the service account is mounted")
        for volume in pod.spec.get("volumes", ()):
            if "hostPath" in volume:
                yield PolicyBreach("restricted", pod.owner, f"volume {volume['name']} is a path of the node")
        shared = pod.spec.get("securityContext", {})
        for place, container in _containers(pod):
            for wrong in _insecure({**shared, **container.get("securityContext", {})}):
                yield PolicyBreach("restricted", place, wrong)


def _insecure(context: Mapping[str, Any]) -> Iterator[str]:
    """What of a container's security context, the pod's below it, is looser than `restricted` and a read-only root."""
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 1) == 0:
        yield "may run as root"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"] or context.get("capabilities", {}).get("add"):
        yield "keeps capabilities"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"


def _probes(_: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for pod in pods:
        for place, container in _containers(pod):
            for probe in ("readinessProbe", "livenessProbe"):
                if container.get("ports") and not container.get(probe):
                    yield PolicyBreach("probes", place, f"no {probe}")


def _limits(_: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for pod in pods:
        for place, container in _containers(pod):
            given = container.get("resources", {})
            for part, key in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if not given.get(part, {}).get(key):
                    yield PolicyBreach("limits", place, f"no {key} in resources.{part}")


def _denied(objects: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    denies = [
        made["spec"]["podSelector"].get("matchLabels", {})
        for made in objects
        if made["kind"] == "NetworkPolicy"
        and set(made["spec"].get("policyTypes", ())) == {"Ingress", "Egress"}
        and not made["spec"].get("ingress")
        and not made["spec"].get("egress")
    ]
    for pod in pods:
        if not any(labels.items() <= pod.labels.items() for labels in denies):
            yield PolicyBreach("default-deny", pod.owner, "no NetworkPolicy denies it what no other allows")
    for made in objects:
        if made["kind"] == "NetworkPolicy":
            for way in (*made["spec"].get("ingress", ()), *made["spec"].get("egress", ())):
                if not way.get("ports") or not (way.get("from") or way.get("to")):
                    yield PolicyBreach("default-deny", _name(made), "lets any address or any port through")


def _scaling(objects: Sequence[Object], _: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for made in objects:
        for scaled in _scaled(made):
            least = next((scaled[key] for key in ("minReplicas", "minReplicaCount") if key in scaled), 0)
            most = next((scaled[key] for key in ("maxReplicas", "maxReplicaCount") if key in scaled), None)
            if most is None or least > most or least < 1:
                said = f"between {least} and {most} replicas"
                yield PolicyBreach("minimum-below-maximum", _name(made), said)


def _scaled(made: Object) -> tuple[Mapping[str, Any], ...]:
    spec = made.get("spec") or {}
    if made["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
        return (spec,)
    if made["kind"] == "InferenceService":
        return tuple(spec[part] for part in ("predictor", "transformer") if part in spec)
    return ()


def _disruption(objects: Sequence[Object], pods: Sequence[Pod]) -> Iterator[PolicyBreach]:
    budgets = [made["spec"]["selector"]["matchLabels"] for made in objects if made["kind"] == "PodDisruptionBudget"]
    for pod in pods:
        serves = pod.owner.startswith(("SeldonDeployment", "InferenceService"))
        if serves and not any(labels.items() <= pod.labels.items() for labels in budgets):
            yield PolicyBreach("disruption-budget", pod.owner, "a drain of nodes may take all of its pods at once")


def _traffic(objects: Sequence[Object], _: Sequence[Pod]) -> Iterator[PolicyBreach]:
    for made in objects:
        for weights in _weights(made):
            if len(weights) > 1 and sum(weights) != 100:
                yield PolicyBreach(
                    "weights", _name(made), f"weights {', '.join(map(str, weights))} are not 100 together"
                )


def _weights(made: Object) -> Iterator[list[int]]:
    spec = made.get("spec") or {}
    if made["kind"] == "SeldonDeployment":
        yield [one.get("traffic", 0) for one in spec["predictors"] if not one.get("shadow")]
    elif made["kind"] == "VirtualService":
        yield from ([one.get("weight", 0) for one in way["route"]] for way in spec["http"])
    elif made["kind"] == "HTTPRoute":
        yield from ([one.get("weight", 1) for one in rule["backendRefs"]] for rule in spec["rules"])


def _raw_payloads(objects: Sequence[Object], _: Sequence[Pod]) -> Iterator[PolicyBreach]:
    """Both platforms' payload loggers send requests as they came, personal data and all."""
    for made in objects:
        if made["kind"] in ("SeldonDeployment", "InferenceService") and _has_key(made["spec"], "logger"):
            yield PolicyBreach("no-raw-payloads", _name(made), "a payload logger sends requests unmasked")


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, Mapping):
        return key in value or any(_has_key(inner, key) for inner in value.values())
    return isinstance(value, list) and any(_has_key(inner, key) for inner in value)


Rule = Callable[[Sequence[Object], Sequence[Pod]], Iterator[PolicyBreach]]
_RULES: tuple[Rule, ...] = (
    _images, _restricted, _probes, _limits, _denied, _scaling, _disruption, _traffic, _raw_payloads,
)  # fmt: skip
