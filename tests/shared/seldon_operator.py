"""Seldon Core's own operator beside the test control plane, set up as its chart sets it up.

`SELDON_OPERATOR` names the binary (`go build` in `operator/` of a checkout of Seldon Core) and `SELDON_CHART` its chart
(`helm-charts/seldon-core-operator`); neither is ours to keep. What it does to a SeldonDeployment, its defaults, its
refusals, the Deployments and Services that it makes and the state that it reports, is then Seldon's, no stand-in's.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from background_program import free_port
from cluster_definitions import YamlLoader, seldon_chart
from control_plane import ControlPlane

_Object = dict[str, Any]
NAMESPACE = "seldon-system"
_NAME = "seldon-operator"
_FIELDS = {"metadata.namespace": NAMESPACE}


def seldon_operator() -> Path | None:
    """The binary that `SELDON_OPERATOR` names; None: there is none, or no chart that says how it is run."""
    path = os.environ.get("SELDON_OPERATOR")
    return Path(path).resolve() if path and seldon_chart() else None


def chart_objects() -> list[_Object]:
    """All that the chart makes with its own values, but the definition."""
    import helm_python

    chart = seldon_chart()
    assert chart is not None
    rendered = helm_python.Chart.load(str(chart)).render({}, name="seldon", namespace=NAMESPACE)
    return [dict(one) for text in rendered.values() for one in yaml.load_all(text, YamlLoader) if one]


@contextmanager
def running_operator(plane: ControlPlane, operator: Path) -> Iterator[None]:
    """The operator, reconciling and refusing until the block is left. Its webhook listens on every address: it cannot
    be told otherwise.

    Raises:
        AssertionError: it does not come up within 90 s; says the end of its log.
    """
    objects = {one["kind"]: one for one in chart_objects()}
    plane.namespace(NAMESPACE)
    assert (answer := plane.apply([objects["ConfigMap"]])).returncode == 0, answer.stderr
    port, folder = free_port(), plane.folder / _NAME
    serving = folder / "k8s-webhook-server" / "serving-certs"
    serving.mkdir(parents=True)
    shutil.copy(plane.folder / "apiserver.crt", serving / "tls.crt")
    shutil.copy(plane.folder / "apiserver.key", serving / "tls.key")
    given = {"KUBECONFIG": str(plane.kubeconfig), "TMPDIR": str(folder), **_environment(objects["Deployment"])}
    plane.start(_NAME, ["env", *(f"{name}={value}" for name, value in given.items()), str(operator),
                        f"--webhook-port={port}", "--metrics-addr=0"])  # fmt: skip
    plane.until(lambda: _listens(port), "the operator's webhook does not listen", _NAME)
    webhook = _at(objects["ValidatingWebhookConfiguration"], port, (plane.folder / "ca.crt").read_bytes())
    assert (answer := plane.apply([webhook])).returncode == 0, answer.stderr
    try:
        plane.until(lambda: _refuses(plane), "the operator's webhook is not asked", _NAME)
        yield
    finally:
        plane.kubectl("delete", "validatingwebhookconfiguration", webhook["metadata"]["name"], check=False)
        if _NAME in plane.processes:
            plane.kill(_NAME)


def _environment(deployment: _Object) -> dict[str, str]:
    """As the chart's Deployment gives it to the container."""
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    found = {}
    for one in container["env"]:
        found[one["name"]] = one["value"] if "value" in one else _FIELDS[one["valueFrom"]["fieldRef"]["fieldPath"]]
    return found


def _at(configuration: _Object, port: int, authority: bytes) -> _Object:
    """The same webhooks at a process on this machine, in place of a Service of the cluster."""
    moved = []
    for one in configuration["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        url = f"https://127.0.0.1:{port}{path}"
        moved.append({**one, "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()}})
    return {**configuration, "webhooks": moved}


def _refuses(plane: ControlPlane) -> bool:
    """Whether a SeldonDeployment with no predictor is refused by the webhook."""
    empty = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "empty", "namespace": NAMESPACE},
        "spec": {"predictors": []},
    }
    return "Graph contains no predictors" in plane.apply([empty], dry_run=True).stderr


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
