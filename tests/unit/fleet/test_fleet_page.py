"""The page of a fleet: one file that asks no network, and says what the standings say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from carrental_mlops.fleet.page import page, write_page
from carrental_mlops.fleet.standing import Deployed, Standing, Waived

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "link", "input", "br"}


class Tree(HTMLParser):
    """Rows of the table as texts, every attribute, and whether the tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def fleet() -> list[Standing]:
    whole = Standing(
        "pay", "https://git.example.com/ds/pay", canary=True, service="fraud-payments", owner="risk@example.com",
        tier=1, template="fraud-realtime", template_version="1.9.0", package="1.9.0", newest="1.10.0", behind_days=41,
        overrides=("TrainStep.sample_weight (src/pay/steps.py:21)",), ledger_open=("Makefile",), ledger_waived=1,
        waivers=(Waived("CRM601", "Jane Doe", "2026-12-01", "a sample key"),), score=71, blocking=2,
        codes=("CRM501", "CRM601"), last_train="2026-11-01T10:00:00+00:00",
        last_deploy=Deployed("prod", "prod-7", "2026-11-02T10:00:00+00:00"), slo="held", slo_said=("p99 41 ms",),
    )  # fmt: skip
    newer = Standing("near", "near", service="near", tier=2, template="x", template_version="1.10.0", behind_days=0,
                     newest="1.10.0", owner="a@example.com", score=100)  # fmt: skip
    bare = Standing(EVIL, EVIL, newest="1.10.0", owner=EVIL, unknown={"score": EVIL, "slo": "no release"})
    return [newer, bare, whole]


def test_it_parses_and_has_a_row_for_each_service() -> None:
    tree = Tree(page(fleet(), "repos", NOW))
    assert tree.open == [] and len(tree.rows) == 4
    assert all(len(row) == len(tree.rows[0]) == 14 for row in tree.rows)
    first = [" ".join(cell.split()) for cell in tree.rows[1]]
    assert first[:7] == ["fraud-payments canary", "risk@example.com", "1", "fraud-realtime", "1.9.0", "1.9.0", "41"]
    assert first[7].startswith("71, 2 block") and first[8] == "heldp99 41 ms" and "prod-7, 2026-11-02" in first[10]
    assert [row[2].strip() for row in tree.rows[1:]] == ["1", "2", "unknown"]


def test_it_asks_nothing_of_the_network() -> None:
    text = page(fleet(), "repos", NOW)
    loads = [(tag, name, value) for tag, name, value in Tree(text).attributes if name in ("src", "srcset", "action")]
    links = {value for tag, name, value in Tree(text).attributes if (tag, name) == ("link", "href")}
    assert loads == [] and links == {"data:,"} and "@import" not in text and "url(" not in text
    assert "default-src 'none'" in text and re.findall(r"\b(fetch|XMLHttpRequest|import)\(", text) == []


def test_every_value_is_escaped() -> None:
    text = page(fleet(), EVIL, NOW)
    assert "<script>alert" not in text and text.count("<script>") == 1
    assert ("span", "title", EVIL) in Tree(text).attributes


def test_versions_sort_by_number() -> None:
    versions = ["1.0.0", "2.0.0", "1.10.0", "1.9.0", "1.9.1", "1.10.0rc1", "1.0.1"]
    found = [Standing(v, v, template="x", template_version=v, newest="2.0.0") for v in versions]
    rows = re.findall(r'data-sort="([0-9]+)">([0-9]+[.][0-9rc.]+)</td>', page(found, "repos", NOW))
    expected = ["1.0.0", "1.0.1", "1.9.0", "1.9.1", "1.10.0rc1", "1.10.0", "2.0.0"]
    assert [shown for _, shown in sorted(rows, key=lambda row: int(row[0]))] == expected


def test_a_fleet_where_nothing_is_known_has_a_page(tmp_path: Path) -> None:
    write_page(tmp_path / "fleet.html", [Standing("a", "a", newest="1.0.0")], "repos", NOW)
    text = (tmp_path / "fleet.html").read_text()
    assert "unknown" in text and len(Tree(text).rows) == 2
