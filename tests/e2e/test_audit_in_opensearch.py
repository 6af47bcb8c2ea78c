"""Audit events go into a real OpenSearch under our index template, once each, masked, and are found again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_running import opensearch
from search_templates import CHART, put_templates

from carrental_mlops.config.serving import Audit
from carrental_mlops.errors import PlatformError
from carrental_mlops.serving.audit_event import Rendering
from carrental_mlops.serving.endpoint import Event, Identity
from carrental_mlops.serving.segments import Segments
from carrental_mlops.serving.service import Answer
from carrental_mlops.serving.ship import Shipper, sink_of
from carrental_mlops.serving.sink_bulk import BulkSink

pytestmark = pytest.mark.e2e
NOON = 1_795_262_400.0
"""2026-11-21 12:00 UTC."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An OpenSearch with the templates that the chart puts there."""
    with opensearch(tmp_path_factory.mktemp("opensearch")) as running:
        put_templates(running, times=2)
        yield running


def _ask(address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _event(number: int) -> Event:
    return Event(
        id=f"request-{number}",
        event_id=f"e{number}",
        time=NOON + number,
        inputs={"iban": ["DE89370400440532013000"], "amount_eur": [120.5]},
        features={"customer__count_7d": np.array([3.0])},
        ages={"customer": 60.0},
        answer=Answer(np.array([0.25]), np.array(["accept"]), ("",)),
        flags=(),
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        caller=None,
    )


def _written(root: Path, count: int) -> Audit:
    events = Segments(root / "audit", "events", 1 << 20, 60)
    (root / "audit").mkdir(parents=True)
    rendering = Rendering(Identity("payments", "3", "d" * 64), clear=("amount_eur",))
    events.append(b"".join(rendering(_event(number)) for number in range(count)))
    events.close()
    return Audit(folder="audit", clear=("amount_eur",))


def test_what_was_shipped_is_found_by_request_once_and_masked(url: str, tmp_path: Path) -> None:
    audit = _written(tmp_path, 1200).model_copy(update={"sink": f"{url}/audit-personal/_bulk"})
    sink = sink_of(tmp_path, audit)
    assert isinstance(sink, BulkSink)
    assert Shipper(tmp_path, audit, sink).once() == 1200
    (sent,) = (tmp_path / "audit").glob("*.sent")
    sent.rename(sent.with_suffix(".jsonl"))  # as if it had died before it remembered
    assert Shipper(tmp_path, audit, sink).once() == 1200
    index = "audit-personal-2026.11.21"
    _ask(f"{url}/{index}/_refresh", {})
    assert _ask(f"{url}/{index}/_count")["count"] == 1200
    found = _ask(f"{url}/audit-personal-*/_search", {"query": {"term": {"data.request": "request-7"}}})["hits"]
    assert found["total"]["value"] == 1
    (hit,) = found["hits"]
    data = hit["_source"]["data"]
    assert (data["decision"], data["model"]["version"], data["features"]) == (
        ["accept"],
        "3",
        {"customer__count_7d": [3.0]},
    )
    assert data["inputs"] == {"iban": "***", "amount_eur": [120.5]}
    assert "DE89370400440532013000" not in json.dumps(_ask(f"{url}/{index}/_search?size=100"))


def test_every_panel_of_the_saved_dashboard_finds_what_was_shipped(url: str) -> None:
    dashboard = json.loads((CHART / "files" / "dashboards" / "request-audit.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["query"].replace("$service", "payments").replace("$search", 'data.request:"request-7"')
            fields = [one["field"] for one in target["bucketAggs"] if one["type"] == "terms"]
            asked = {"query": {"query_string": {"query": query}}, "aggs": {f: {"terms": {"field": f}} for f in fields}}
            told = _ask(f"{url}/audit-*/_search", asked)
            assert told["hits"]["total"]["value"] == 1, panel["title"]
            assert all(told["aggregations"][field]["buckets"] for field in fields)


def test_the_template_of_the_data_class_is_the_indexs(url: str) -> None:
    properties = _ask(f"{url}/audit-personal-2026.11.21/_mapping")["audit-personal-2026.11.21"]["mappings"][
        "properties"
    ]
    assert properties["time"]["type"] == "date"
    assert properties["data"]["properties"]["inputs"] == {"type": "object", "enabled": False}
    told = _ask(f"{url}/_index_template/audit-personal")["index_templates"][0]["index_template"]["_meta"]
    assert told == {"data_class": "personal", "retention_days": 180}


def test_an_event_that_the_index_does_not_take_is_told_without_its_content(url: str) -> None:
    sink = BulkSink(f"{url}/audit-personal/_bulk")
    broken = {"id": "x", "time": "2026-11-21T00:00:00Z", "data": {"score": "DE89370400440532013000"}}
    with pytest.raises(PlatformError, match="did not take 1 of 1 events: 400 mapper_parsing_exception") as told:
        sink.send([json.dumps(broken).encode()])
    assert "DE8937" not in str(told.value)


def test_an_opensearch_that_is_away_leaves_the_events_to_be_sent(tmp_path: Path) -> None:
    audit = _written(tmp_path, 3)
    with pytest.raises(PlatformError):
        Shipper(tmp_path, audit, BulkSink("http://127.0.0.1:9/audit-personal/_bulk")).once()
    assert len(list((tmp_path / "audit").glob("*.jsonl"))) == 1
