"""Custom resource definitions that a release's objects need, applied to the test control plane.

Those of other projects come out of their Go modules (`make control-plane`). Seldon's comes from the chart that
`SELDON_CHART` names; without one, a stand-in is made here of the field names of SeldonDeployment v1 as its public API
types give them, with the pod fields as the running apiserver describes them. Of Seldon's webhook the stand-in knows one
rule, that the traffic of predictors sums to 100.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from control_plane import BINARIES, ControlPlane, true_conditions

_Schema = dict[str, Any]
KINDS = {
    "prometheus-operator": ("Alertmanager", "AlertmanagerConfig", "PodMonitor", "Prometheus", "PrometheusRule",
                            "ServiceMonitor"),
    "gateway-api": ("Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant"),
    "keda": ("ScaledObject", "TriggerAuthentication"),
    "external-secrets": ("ClusterSecretStore", "ExternalSecret", "SecretStore"),
    "secrets-store": ("SecretProviderClass",),
    "istio": ("DestinationRule", "Gateway", "VirtualService"),
    "emissary": ("Mapping",),
    "kserve": ("InferenceService",),
}  # fmt: skip
"""Of each project, what a release or what surrounds it may use; a folder of `make control-plane` holds more."""
_NODE_DEPTH = 6
"""Levels of a graph; a structural schema cannot refer to itself."""


def absent() -> list[str]:
    """Names of projects whose definitions are not in the folder of the binaries."""
    return [name for name in KINDS if not (BINARIES / "crds" / name).is_dir()]


def seldon_chart() -> Path | None:
    """The folder or archive that `SELDON_CHART` names."""
    path = os.environ.get("SELDON_CHART")
    return Path(path) if path else None


class YamlLoader(yaml.CSafeLoader):
    """Takes a plain `=`, which YAML 1.1 has a type for, as text."""


YamlLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def apply_definitions(plane: ControlPlane) -> list[str]:
    """Apply the definitions of `KINDS` and Seldon's; the names (`<plural>.<group>`) that the cluster then serves.

    Raises:
        AssertionError: The cluster refused one, or does not serve it within 60 s.
    """
    found = [definition for name in KINDS for definition in _of_module(name)]
    found.append(_of_chart(chart) if (chart := seldon_chart()) else seldon_stand_in(plane))
    answer = plane.apply(found)
    assert answer.returncode == 0, answer.stderr
    names = [definition["metadata"]["name"] for definition in found]
    plane.until(lambda: set(names) <= _established(plane), "definitions are not served", "kube-apiserver", 60)
    return names


def _established(plane: ControlPlane) -> set[str]:
    found = plane.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    return {one["metadata"]["name"] for one in found if "Established" in true_conditions(one)}


def _of_module(name: str) -> list[_Schema]:
    files = sorted((BINARIES / "crds" / name).glob("*.yaml"))
    wanted = re.compile(rf"^    kind: ({'|'.join(KINDS[name])})$", re.MULTILINE)
    texts = [text for file in files for text in file.read_text().split("\n---\n") if wanted.search(text)]
    return [_unconverted(yaml.load(text, YamlLoader)) for text in texts]


def _unconverted(definition: _Schema) -> _Schema:
    """The newest version alone where versions are converted by a webhook, which is not running."""
    spec = definition["spec"]
    if spec.get("conversion", {}).get("strategy") != "Webhook":
        return definition
    newest = {**spec["versions"][-1], "storage": True}
    kept = {key: value for key, value in spec.items() if key != "conversion"} | {"versions": [newest]}
    return {**definition, "spec": kept}


def _of_chart(chart: Path) -> _Schema:
    import helm_python

    rendered = helm_python.Chart.load(str(chart)).render({"crd": {"create": True}}, name="seldon")
    for text in rendered.values():
        for one in yaml.load_all(text, YamlLoader):
            if one and one.get("kind") == "CustomResourceDefinition" and "seldondeployment" in one["metadata"]["name"]:
                return dict(one)
    raise AssertionError(f"no SeldonDeployment definition in {chart}")


def seldon_stand_in(plane: ControlPlane) -> _Schema:
    """A definition of SeldonDeployment v1 with its fields, and nothing of what its operator checks but the traffic."""
    group, plural = "machinelearning.seldon.io", "seldondeployments"
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": _seldon_spec(_Kubernetes(plane)), "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": "SeldonDeployment", "plural": plural, "singular": "seldondeployment", "shortNames": ["sdep"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class _Kubernetes:
    """Schemas of built-in types as the apiserver publishes them, made structural."""

    def __init__(self, plane: ControlPlane) -> None:
        documents = [plane.ask(f"/openapi/v3/{path}") for path in ("api/v1", "apis/autoscaling/v2")]
        self._schemas = {name: one for document in documents for name, one in document["components"]["schemas"].items()}

    def __getitem__(self, name: str) -> _Schema:
        return self._structural({"$ref": f"#/components/schemas/io.k8s.api.{name}"})

    def _structural(self, schema: Mapping[str, Any]) -> _Schema:
        if len(schema.get("allOf", ())) == 1:
            return self._structural(schema["allOf"][0])
        if "$ref" in schema:
            return self._structural(self._schemas[schema["$ref"].rpartition("/")[2]])
        if "oneOf" in schema:
            return {"x-kubernetes-int-or-string": True}
        kept: _Schema = {key: schema[key] for key in ("type", "format", "required", "enum") if key in schema}
        if "properties" in schema:
            kept["properties"] = {name: self._structural(one) for name, one in schema["properties"].items()}
        for key in ("items", "additionalProperties"):
            if key in schema:
                kept[key] = self._structural(schema[key])
        return kept


def _object(required: tuple[str, ...] = (), /, **fields: Any) -> _Schema:
    return {"type": "object", "properties": fields} | ({"required": list(required)} if required else {})


def _list(of: _Schema) -> _Schema:
    return {"type": "array", "items": of}


_TEXT: _Schema = {"type": "string"}
_WHOLE: _Schema = {"type": "integer", "format": "int32"}
_TEXTS: _Schema = {"type": "object", "additionalProperties": _TEXT}
_EITHER: _Schema = {"x-kubernetes-int-or-string": True}
_ENDPOINT = _object(service_host=_TEXT, service_port=_WHOLE, type=_TEXT, httpPort=_WHOLE, grpcPort=_WHOLE)


def _graph(depth: int) -> _Schema:
    parameter = _object(("name", "type", "value"), name=_TEXT, type=_TEXT, value=_TEXT)
    fields: _Schema = {
        **dict.fromkeys(("name", "type", "implementation", "modelUri", "serviceAccountName"), _TEXT),
        **dict.fromkeys(("envSecretRefName", "storageInitializerImage"), _TEXT),
        "methods": _list(_TEXT),
        "parameters": _list(parameter),
        "endpoint": _ENDPOINT,
        "logger": _object(url=_TEXT, mode=_TEXT),
    }
    return _object(("name",), **fields, **({"children": _list(_graph(depth - 1))} if depth else {}))


def _component(kubernetes: _Kubernetes) -> _Schema:
    metrics = _list(kubernetes["autoscaling.v2.MetricSpec"])
    triggers = _list(_object(("type", "metadata"), type=_TEXT, name=_TEXT, metadata=_TEXTS, metricType=_TEXT))
    polling = dict.fromkeys(("pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount"), _WHOLE)
    return _object(
        metadata=_object(name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS),
        spec=kubernetes["core.v1.PodSpec"],
        replicas=_WHOLE,
        hpaSpec=_object(("maxReplicas",), minReplicas=_WHOLE, maxReplicas=_WHOLE, metrics=metrics, metricsv2=metrics),
        kedaSpec=_object(("triggers",), triggers=triggers, **polling),
        pdbSpec=_object(minAvailable=_EITHER, maxUnavailable=_EITHER),
    )


def _seldon_spec(kubernetes: _Kubernetes) -> _Schema:
    resources = kubernetes["core.v1.ResourceRequirements"]
    explainer = _object(
        **dict.fromkeys(("type", "modelUri", "serviceAccountName", "envSecretRefName", "initParameters"), _TEXT),
        storageInitializerImage=_TEXT,
        containerSpec=kubernetes["core.v1.Container"],
        config=_TEXTS,
        endpoint=_ENDPOINT,
        replicas=_WHOLE,
    )
    predictor = _object(
        ("name", "graph"),
        name=_TEXT,
        graph=_graph(_NODE_DEPTH),
        componentSpecs=_list(_component(kubernetes)),
        replicas=_WHOLE,
        annotations=_TEXTS,
        labels=_TEXTS,
        engineResources=resources,
        svcOrchSpec=_object(resources=resources, env=_list(kubernetes["core.v1.EnvVar"]), replicas=_WHOLE),
        traffic=_WHOLE,
        explainer=explainer,
        shadow={"type": "boolean"},
        ssl=_object(certSecretName=_TEXT),
        progressDeadlineSeconds=_WHOLE,
    )
    predictors = _list(predictor) | {"maxItems": 10}
    own = dict.fromkeys(("name", "oauth_key", "oauth_secret", "protocol", "transport", "serverType"), _TEXT)
    return _object(("predictors",), **own, predictors=predictors, annotations=_TEXTS, replicas=_WHOLE) | {
        "x-kubernetes-validations": [
            {
                "rule": "self.predictors.filter(p, !(has(p.shadow) && p.shadow)).size() < 2 || "
                "self.predictors.filter(p, !(has(p.shadow) && p.shadow))"
                ".map(p, has(p.traffic) ? p.traffic : 0).sum() == 100",
                "message": "the traffic of the predictors must sum to 100",
            }
        ]
    }
