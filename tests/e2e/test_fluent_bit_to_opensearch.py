"""A real Fluent Bit with the platform's configuration: a cluster's logs and events in a real OpenSearch."""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster_objects import pod_spec
from cluster_releases import Case, objects
from control_plane import ControlPlane
from fluent_bit_running import behind_tls, fluent_bit, found
from graph_repo import LICENCE
from search_running import opensearch
from search_templates import CHART, put_templates

from carrental_mlops.deploy.manifests.helm import render
from carrental_mlops.deploy.manifests.labels import DATA_CLASS
from carrental_mlops.serving.logs import JsonLines
from carrental_mlops.serving.traceparent import CURRENT, Traced

pytestmark = pytest.mark.e2e
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CONTAINER = "0f" * 32
PERSONAL = {
    "licence": LICENCE,
    "iban": "DE89370400440532013000",
    "iban in groups": "DE89 3704 0044 0532 0130 00",
    "mail": "erika.mustermann@example.org",
    "card": "4111 1111 1111 1111",
    "phone": "+49 170 1234567",
    "number": "987654321012",
}
DAY = datetime.now(UTC)


@dataclass(frozen=True)
class Search:
    """OpenSearch, and the node's folder of logs."""

    url: str
    logs: Path

    def ask(self, path: str, body: Any = None) -> Any:
        """Its answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def hits(self, query: str, index: str = "*") -> list[dict[str, Any]]:
        """What a query of Lucene's, as a dashboard sends it, finds."""
        self.ask("_refresh", {})
        asked = {"query": {"query_string": {"query": query}}, "size": 500}
        return list(self.ask(f"{index}/_search?ignore_unavailable=true", asked)["hits"]["hits"])

    def wait(self, query: str, count: int, index: str = "*", timeout_s: float = 60) -> list[dict[str, Any]]:
        """The hits, once there are `count`."""
        deadline = time.monotonic() + timeout_s
        while len(hits := self.hits(query, index)) < count and time.monotonic() < deadline:
            time.sleep(0.5)
        said = (self.logs.parent / "fluent-bit.log").read_text(errors="replace")[-3000:]
        assert len(hits) == count, (query, [one["_source"] for one in hits], said)
        return hits

    def write(self, pod: str, namespace: str, *lines: str, flag: str = "F") -> None:
        """Lines as containerd writes them."""
        path = self.logs / f"{pod}_{namespace}_service-{CONTAINER}.log"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        with path.open("a") as file:
            file.write("".join(f"{now} stderr {flag} {line}\n" for line in lines))


def _chart_labels(data_class: str) -> dict[str, str]:
    """Labels of a predictor, which Seldon gives its pods."""
    config = Case("seldon", "single", "direct", serverless=False).config(f"deploy.data_class={data_class}")
    (made,) = [one for one in objects(config, "prod") if one["kind"] == "SeldonDeployment"]
    labels = dict(made["spec"]["predictors"][0]["labels"])
    assert labels[DATA_CLASS] == data_class
    return labels


PODS: dict[str, tuple[str, Callable[[], dict[str, str]]]] = {
    "payments-personal": ("models", lambda: _chart_labels("personal")),
    "payments-internal": ("models", lambda: _chart_labels("internal")),
    "somebody-elses": ("models", dict),
    "ingress-0": ("ingress", dict),
    "dns-0": ("kube-system", dict),
}


@pytest.fixture(scope="module")
def search(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    """Fluent Bit reads a node's logs and the cluster's events into OpenSearch, whose templates are the chart's."""
    found()
    for namespace in ("models", "ingress", "kube-system"):
        plane.namespace(namespace)
    for name, (namespace, labels) in PODS.items():
        meta = {"name": name, "namespace": namespace, "labels": labels()}
        answer = plane.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec()}])
        assert answer.returncode == 0, answer.stderr
    with opensearch(tmp_path_factory.mktemp("opensearch")) as url, behind_tls(url, plane.folder) as secure:
        put_templates(url)
        values = {"openSearch": {"url": secure}}
        made = {o["metadata"]["name"]: o.get("data") for o in render(values, "platform", "monitoring", CHART)}
        places = {name: tmp_path_factory.mktemp(name) for name in ("node", "events")}
        (places["node"] / "containers").mkdir()
        authority = plane.folder / "ca.crt"
        with (
            fluent_bit(made["fluent-bit-config"], places["node"], plane, authority),
            fluent_bit(made["fluent-bit-events-config"], places["events"], plane, authority),
        ):
            yield Search(url, places["node"] / "containers")


def _line(message: str, trace: str | None = None) -> str:
    """As the service writes it."""
    record = logging.LogRecord("carrental_mlops.serving", logging.WARNING, "x.py", 1, message, (), None)
    CURRENT.set(Traced(f"00-{trace}-00f067aa0ba902b7-01") if trace else None)
    try:
        return JsonLines().format(record)
    finally:
        CURRENT.set(None)


def test_a_services_line_is_found_by_service_level_and_trace_in_the_index_of_its_class(search: Search) -> None:
    search.write("payments-personal", "models", _line("stored features were not read: TimeoutError", TRACE))
    (hit,) = search.wait(f"trace_id:{TRACE}", 1)
    assert hit["_index"] == f"logs-personal-{DAY:%Y.%m.%d}"
    told = hit["_source"]
    assert (told["level"], told["message"]) == ("warning", "stored features were not read: TimeoutError")
    assert told["kubernetes"]["pod_name"] == "payments-personal" and "log" not in told
    dashboard = json.loads((CHART / "files" / "dashboards" / "service-logs.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["query"].replace("$service", "fraud-payments").replace("$search", "*")
            assert [one["_id"] for one in search.hits(query, "logs-*")] == [hit["_id"]]


def test_each_pods_lines_go_to_the_index_of_its_class(search: Search) -> None:
    for name, (namespace, _) in PODS.items():
        search.write(name, namespace, f"started up as {name}")
    found = {one["_source"]["kubernetes"]["pod_name"]: one["_index"] for one in search.wait('log:"started up"', 5)}
    day = f"{DAY:%Y.%m.%d}"
    assert found == {
        "payments-personal": f"logs-personal-{day}",
        "payments-internal": f"logs-internal-{day}",
        "somebody-elses": f"logs-personal-{day}",
        "ingress-0": f"cluster-internal-{day}",
        "dns-0": f"cluster-internal-{day}",
    }


def test_what_names_a_person_is_found_nowhere(search: Search) -> None:
    marks = []
    for pod in ("payments-personal", "somebody-elses"):
        for what, value in PERSONAL.items():
            marks.append(f"seen in {pod} {what}")
            search.write(pod, "models", f"{marks[-1]} plain {value}!")
            search.write(pod, "models", json.dumps({"message": f"{marks[-1]} json {value}", "level": "info"}))
            search.write(pod, "models", json.dumps({"message": f"{marks[-1]} key", "who": {"a": [value]}}))
        half = len(LICENCE) // 2
        search.write(pod, "models", f"cut in two {LICENCE[:half]}", flag="P")
        search.write(pod, "models", LICENCE[half:])
    search.wait('message:"seen in" OR log:"seen in"', 3 * len(marks))
    whole = search.wait('log:"cut in two"', 2)
    assert {one["_source"]["log"] for one in whole} == {"cut in two ***"}
    search.ask("_refresh", {})
    everything = json.dumps(search.ask("_search?size=1000")["hits"]["hits"])
    assert [what for what, value in PERSONAL.items() if value in everything] == []
    assert PERSONAL["licence"] not in (search.logs.parent / "fluent-bit.log").read_text(errors="replace")


def test_a_line_whose_fields_have_other_kinds_holds_nothing_up(search: Search) -> None:
    odd = [{"message": {"a": 1}, "level": 30}, {"time": "never", "process": "x", "error": ["y"]}, {"log": {"b": {}}}]
    for number, line in enumerate(odd):
        search.write("payments-internal", "models", json.dumps({**line, "trace_id": f"odd-{number}"}))
    search.write("payments-internal", "models", json.dumps({"message": "after what is odd", "trace_id": "odd-9"}))
    (first, *_, last) = sorted(search.wait("trace_id:odd*", 4), key=lambda one: one["_source"]["trace_id"])
    assert (first["_source"]["message"], first["_source"]["level"]) == ("a=1", "30")
    time.sleep(5)
    assert len(search.hits("trace_id:odd*")) == 4 and last["_source"]["message"] == "after what is odd"


def test_events_of_the_cluster_are_found_by_reason_once(search: Search, plane: ControlPlane) -> None:
    now = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {"kind": "Pod", "name": "payments-personal", "namespace": "models"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "unwell.1", "namespace": "models"}}
    event |= {"involvedObject": involved, "reason": "Unhealthy", "type": "Warning", "message": "Readiness probe failed"}
    plane.ask(
        "/api/v1/namespaces/models/events", "POST", event | {"firstTimestamp": now, "lastTimestamp": now, "count": 1}
    )
    query = 'reason:Unhealthy AND involvedObject.name:"payments-personal"'
    (hit,) = search.wait(query, 1)
    assert hit["_index"] == f"cluster-internal-{DAY:%Y.%m.%d}" and hit["_source"]["message"] == "Readiness probe failed"
    time.sleep(5)
    assert len(search.hits(query)) == 1
    dashboard = json.loads((CHART / "files" / "dashboards" / "cluster-events.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found = search.hits(target["query"].replace("$search", query), "cluster-*")
            assert [one["_id"] for one in found] == [hit["_id"]]


def test_the_index_has_the_templates_mapping(search: Search) -> None:
    for index, field in (("logs-personal", "trace_id"), ("cluster-internal", "reason")):
        (found,) = search.ask(f"{index}-*/_mapping").values()
        assert found["mappings"]["dynamic"] == "false"
        assert found["mappings"]["properties"][field] == {"type": "keyword"}
