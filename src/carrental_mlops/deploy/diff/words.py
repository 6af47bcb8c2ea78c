"""Words for what changes in a Kubernetes object, and what it does to pods and to availability."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Path = tuple[str, ...]

_LEAVES: Mapping[tuple[str, ...], str] = {
    ("limits", "memory"): "memory limit",
    ("requests", "memory"): "memory request",
    ("limits", "cpu"): "CPU limit",
    ("requests", "cpu"): "CPU request",
    ("limits", "nvidia.com/gpu"): "GPU limit",
    ("requests", "nvidia.com/gpu"): "GPU request",
    ("minReplicas",): "minimum replicas",
    ("minReplicaCount",): "minimum replicas",
    ("maxReplicas",): "maximum replicas",
    ("maxReplicaCount",): "maximum replicas",
    ("replicas",): "replicas",
    ("image",): "image",
    ("minAvailable",): "pods that must stay",
    ("maxUnavailable",): "pods that may be away",
    ("terminationGracePeriodSeconds",): "grace period (s)",
    ("averageUtilization",): "target (% of what is reserved)",
    ("canaryTrafficPercent",): "canary",
    ("priorityClassName",): "priority class",
}
_SHARES = ("traffic", "weight", "canaryTrafficPercent")
_ELEMENT = re.compile(r"^(\w+)\[(.*)\]$")
_NOUNS = {
    "containers": "container {}", "initContainers": "init container {}", "env": "env {}", "ports": "port {}",
    "volumes": "volume {}", "volumeMounts": "mount {}", "predictors": "{}", "groups": "group {}", "rules": "rule {}",
    "metrics": "metric {}", "componentSpecs": "", "tolerations": "toleration {}", "http": "", "route": "",
}  # fmt: skip
_PLUMBING = {"spec", "template", "metadata", "resources", "graph", "predictor", "jobTemplate"}
_QUANTITY = re.compile(r"^([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
_FACTORS = {"": Decimal(1), "m": Decimal("0.001"), **{s: Decimal(1000) ** n for n, s in enumerate("kMGT", 1)},
            **{f"{s}i": Decimal(1024) ** n for n, s in enumerate("KMGT", 1)}}  # fmt: skip
_ANSWERS = ("Deployment", "StatefulSet", "SeldonDeployment", "InferenceService", "Service", "VirtualService",
            "HTTPRoute", "Mapping", "Ingress")  # fmt: skip
_LOST = {
    **dict.fromkeys(_ANSWERS, "requests go unanswered"),
    "PodDisruptionBudget": "a node that is emptied may take every pod",
    "HorizontalPodAutoscaler": "no longer scales",
    "ScaledObject": "no longer scales",
    "PersistentVolumeClaim": "what it holds may be lost",
    "ServiceAccount": "new pods cannot start",
    "ExternalSecret": "new pods may lack their secrets",
    "SecretProviderClass": "new pods cannot start",
    "CronJob": "no batch is answered any more",
}
_FIXED = {
    "Deployment": ("selector",), "StatefulSet": ("selector", "volumeClaimTemplates", "serviceName"),
    "Job": ("selector", "template"), "Service": ("clusterIP",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName"),
}  # fmt: skip
"""Fields below `spec` that the API server does not let anybody change (Kubernetes API reference, 1.32)."""
_NOT_OF_PODS = {
    "SeldonDeployment": {"traffic", "replicas", "hpaSpec", "pdbSpec", "kedaSpec", "shadow"},
    "InferenceService": {"minReplicas", "maxReplicas", "canaryTrafficPercent", "scaleMetric", "scaleTarget",
                         "autoScaling", "timeout"},
}  # fmt: skip


def words(path: Path, before: Any, after: Any, kind: str) -> str:
    """A change as one would say it: `champion: memory limit 512Mi to 1Gi`, `canary 10 % to 25 %`."""
    context, leaf = _split(path)
    unit = " %" if path[-1] in _SHARES else ""
    name = f"{': '.join(context)}: {leaf}" if context and leaf else leaf or ": ".join(context)
    if path[-1] == "traffic" and context:
        name = context[-1]
    if kind == "changed":
        return f"{name} {_between(before, after, unit)}"
    value = after if kind == "added" else before
    if isinstance(value, Mapping) and set(value) == {"name", "value"}:
        value = value["value"]
    told = "" if isinstance(value, Mapping | list) else f": {_short(value)}{unit}"
    return f"{name} {kind}{told}"


def amount(quantity: Any) -> Decimal | None:
    """A Kubernetes quantity (`500m`, `1Gi`, `2`) as a number; None where it is none.

    Source: Kubernetes API reference, `Quantity`.
    """
    found = _QUANTITY.match(str(quantity))
    return Decimal(found[1]) * _FACTORS[found[2] or ""] if found else None


def restarts(kind: str, path: Path, change: str) -> bool:
    """Whether a change at `path` of an object of `kind` makes its pods again."""
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        return path[:2] == ("spec", "template")
    if kind not in _NOT_OF_PODS or path[0] != "spec" or len(path) < 3:
        return False
    if kind == "InferenceService" and path[1] not in ("predictor", "transformer", "explainer"):
        return False
    return not _NOT_OF_PODS[kind] & set(path) and not (len(path) == 2 and change != "changed")


def loss_of(kind: str, path: Path, before: Any, after: Any) -> str | None:
    """Why a change may cost answers; None where that is not seen. An empty path: the whole object."""
    if not path:
        return _LOST.get(kind) if after is None else None
    if len(path) > 1 and path[0] == "spec" and path[1].partition("[")[0] in _FIXED.get(kind, ()):
        return "cannot be changed in place: it must be deleted and made again"
    return _by_leaf(kind, path, before, after)


def _by_leaf(kind: str, path: Path, before: Any, after: Any) -> str | None:
    leaf, less, more = path[-1], _less(before, after), _less(after, before)
    if leaf.startswith("predictors[") and after is None:
        return None if re.search(r"\[(canary|shadow|ab)\]", leaf) else "requests go unanswered"
    if kind == "CronJob" and leaf == "suspend" and after:
        return "no batch is answered until it goes on"
    if leaf in ("replicas", "minReplicas", "minReplicaCount") and less:
        return "fewer pods answer"
    if leaf in ("maxReplicas", "maxReplicaCount") and less:
        return "a peak may find too few pods"
    if path[-2:] == ("limits", "memory") and (less or before is None):
        return "may be killed for memory"
    if leaf in ("readinessProbe", "preStop") and after is None:
        return "requests may be lost when pods come and go"
    if leaf == "terminationGracePeriodSeconds" and less:
        return "requests in flight may be cut"
    if (leaf == "minAvailable" and less) or (leaf == "maxUnavailable" and more):
        return "more pods may be away at once"
    if path[-2:] == ("strategy", "type") and after == "Recreate":
        return "all pods go before new ones come"
    if kind == "NetworkPolicy" and "ingress" in ".".join(path) and after is None:
        return "callers may be cut off"
    return None


def _less(before: Any, after: Any) -> bool:
    """Whether `after` is the smaller number, share or quantity."""
    one, other = amount(str(before).rstrip("%")), amount(str(after).rstrip("%"))
    return one is not None and other is not None and other < one


def _split(path: Path) -> tuple[list[str], str]:
    """Which container, predictor, … it belongs to, and the name of the value itself."""
    context, rest = [], []
    for part in path:
        found = _ELEMENT.match(part)
        if found is None:
            rest.append(part)
            continue
        noun = _NOUNS.get(found[1])
        told = f"{'.'.join([*(r for r in rest if r not in _PLUMBING), found[1]])} {found[2]}"
        told = told if noun is None else noun.format(found[2])
        context += [told] if told else []
        rest = []
    for length in (2, 1):
        if tuple(rest[-length:]) in _LEAVES:
            return context, _LEAVES[tuple(rest[-length:])]
    if len(rest) > 1 and rest[-2] in ("labels", "annotations"):
        return [] if "spec" not in path else context, f"{rest[-2][:-1]} {rest[-1]}"
    if rest == ["value"] and context and context[-1].startswith("env "):
        return context, ""
    return context, ".".join(part for part in rest if part not in _PLUMBING) or (rest[-1] if rest else "")


def _between(before: Any, after: Any, unit: str) -> str:
    if isinstance(before, list) and isinstance(after, list):
        gone, come = [v for v in before if v not in after], [v for v in after if v not in before]
        told = [*(f"without {_short(v)}" for v in gone), *(f"with {_short(v)}" for v in come)]
        return ", ".join(told) or "in another order"
    texts = [value for value in (before, after) if isinstance(value, str)]
    if len(texts) == 2 and any("\n" in text or len(text) > 160 for text in texts):
        lines = list(difflib.ndiff(texts[0].splitlines(), texts[1].splitlines()))
        more, less = (sum(1 for line in lines if line.startswith(sign)) for sign in ("+ ", "- "))
        return f"changed ({more} lines come, {less} go)"
    return f"{_short(before)}{unit} to {_short(after)}{unit}"


def _short(value: Any) -> str:
    text = "true" if value is True else "false" if value is False else str(value)
    text = re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1", text)
    return text if len(text) <= 160 else f"{text[:157]}…"
