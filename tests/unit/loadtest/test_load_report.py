"""The page holds the curve, and no value of a row."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from carrental_mlops.loadtest.chart import curves
from carrental_mlops.loadtest.k6 import K6Run, Measured
from carrental_mlops.loadtest.report import Record, as_json, html
from carrental_mlops.loadtest.scenario import Limits, scenario_of
from carrental_mlops.loadtest.target import Target
from carrental_mlops.loadtest.verdict import judge

SCENARIO = scenario_of("load", Limits(p99_ms=100, rps=200, error_rate=0.01), 40)
MEASURED = tuple(Measured(s, s.rps * 10, s.rps * 10, 0, 1.0, 2.0, s.rps / 10, 90.0, 1.0) for s in SCENARIO.steps)
RUN = K6Run(MEASURED, {"200": 5_000}, False, None, "v1.1.0", 1.5)


def record(run: K6Run = RUN) -> Record:
    return Record(
        id="20260301-101112-ab12",
        started=datetime(2026, 3, 1, 10, 11, 12, tzinfo=UTC),
        target=Target("http://pay.example.com", "payments <3>", "3", "d" * 64, ()),
        scenario=SCENARIO,
        promised_rps=200,
        run=run,
        verdict=judge(SCENARIO, run),
        rows="rows.parquet, 500 of them in turn",
        made_up=True,
        machine={"machine": "Linux, 2 CPUs"},
        service_cpu_ms=0.2,
    )


def test_the_page_shows_curve_limits_and_origin() -> None:
    page = html(record())
    for text in ("The SLO was held.", "Highest rate that kept it: 200", "payments &lt;3&gt;", "(made up)", "0.2 ms"):
        assert text in page
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.S)]
    assert [len(list(chart.iter("circle"))) for chart in charts] == [12, 4]
    assert [any(t.text == f"SLO {n}" for t in c.iter("text")) for c, n in zip(charts, ("100", "1"), strict=True)] == [
        True,
        True,
    ]


def test_a_p99_of_too_few_answers_is_not_drawn() -> None:
    few = replace(MEASURED[0], sent=90, good=90)
    page = html(record(replace(RUN, measured=(few, *MEASURED[1:]))))
    assert "too few" in page
    charts = re.findall(r"<svg.*?</svg>", page, re.S)
    assert charts[0].count("<circle") == 11


def test_a_page_without_figures_says_so() -> None:
    page = html(record(K6Run((), {}, False, "k6 left no summary", "v1.1.0", 0.1)))
    assert "Nothing was measured." in page
    assert "was not shown to be held" in page


def test_the_summary_holds_what_the_page_shows() -> None:
    told = as_json(record())
    assert told["passed"]
    assert [step["rps"] for step in told["steps"]] == [50, 100, 150, 200]
    assert told["held_rps"] == 200
    assert told["rows"] == {"source": "rows.parquet, 500 of them in turn", "made_up": True}


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("values", [[0.0, 0.0], [math.nan, math.nan], [1e-3, 1e5], [100.0, 100.0]])
def test_any_values_make_a_chart_within_its_frame(values: list[float], log: bool) -> None:
    chart = ElementTree.fromstring(curves([10, 20], {"p99": values}, "x", "ms", 100, log))
    for circle in chart.iter("circle"):
        assert 60 <= float(circle.get("cx", "")) <= 440
        assert 14 <= float(circle.get("cy", "")) <= 258
