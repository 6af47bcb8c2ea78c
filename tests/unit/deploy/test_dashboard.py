"""The dashboard is Grafana's, and Prometheus can read all that it and the rules ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard
from watched import config

from carrental_mlops.deploy.observe.dashboard import dashboard_of
from carrental_mlops.deploy.observe.rules import dashboard_uid, dashboard_url, rules_of

BOARD = dashboard_of(config())


def _asked(board: dict[str, Any]) -> Iterator[str]:
    yield from (target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
    yield from (annotation["expr"] for annotation in board["annotations"]["list"])


@pytest.mark.parametrize("tier", [1, 3])
def test_every_expression_parses(tier: int) -> None:
    of_tier = config(tier=tier)
    rules = [rule["expr"] for group in rules_of(of_tier, "prod") for rule in group["rules"]]
    for expr in (*_asked(dashboard_of(of_tier)), *rules):
        promql_parser.parse(expr)


def test_grafanas_own_types_read_it_back() -> None:
    read = Dashboard.from_json(json.loads(json.dumps(BOARD)))
    assert read.uid == dashboard_uid("payments")
    assert read.panels is not None
    assert len(read.panels) == len(BOARD["panels"])


def test_the_golden_signals_are_there_by_version() -> None:
    panels = {panel["title"]: [target["expr"] for target in panel.get("targets", [])] for panel in BOARD["panels"]}
    for title in ("Requests", "Share of failed answers", "p99"):
        assert "by (version" in panels[title][0] or "le, version" in panels[title][0], panels[title]
    assert {"Fullest queue", "Drift of scores (PSI)", "Age of stored features (hours)"} <= set(panels)


def test_panels_lie_side_by_side_and_none_on_another() -> None:
    places = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        places |= cells


def test_a_rollout_is_an_annotation() -> None:
    (annotation,) = BOARD["annotations"]["list"]
    assert "crm_carrental_release" in annotation["expr"]


def test_alerts_lead_to_the_dashboard() -> None:
    assert f"/d/{BOARD['uid']}" in dashboard_url(config(), "prod")


def test_a_service_without_stored_features_has_no_panel_of_them() -> None:
    without = dashboard_of(config(serving={"features": {"source": "request"}}))
    assert not any("crm_feature" in expr for expr in _asked(without))
