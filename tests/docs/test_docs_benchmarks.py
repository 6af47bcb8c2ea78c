"""The benchmark page says of each row whether it was reached, by the code that writes it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "run", raising=False)


@pytest.mark.parametrize(
    ("target", "ratio", "ours_s", "met"),
    [
        ("<= 1.1x", 1.1, 9, True),
        ("<= 1.1x", 1.101, 9, False),
        ("< 1.0x", 1.0, 9, False),
        (">= 5x", 5.0, 9, True),
        (">= 5x", 4.99, 9, False),
        ("<= 1.1x, < 2 s", 1.0, 1.9, True),
        ("<= 1.1x, < 2 s", 1.0, 2.0, False),
        ("<= 1.1x, < 2 s", 1.2, 1.0, False),
        ("< 2 s", 1.0, float("nan"), False),
        (">= 5x", float("nan"), 9, False),
    ],
)
def test_a_row_is_met_only_where_each_limit_is_held(target: str, ratio: float, ours_s: float, met: bool) -> None:
    from measure import verdict

    assert verdict(target, ratio, ours_s) == ("met" if met else "**missed**")


def test_a_target_that_cannot_be_read_is_no_pass() -> None:
    from measure import verdict

    with pytest.raises(ValueError, match="is no target"):
        verdict("fast", 1.0)


def test_a_rows_date_stands_in_its_note() -> None:
    from measure import Row
    from run import dated

    bare = Row("a", 1.0, "b", 2.0, "<= 0.4x").markdown()
    assert dated(bare, "today", "x") == "| a | 1 s | b | 2 s | 0.5x | <= 0.4x | **missed** | (today) <!-- x --> |"
    noted = Row("a", 1.0, "b", 2.0, "<= 1x", "small").markdown()
    assert dated(noted, "today", "x").endswith("| met | small (today) <!-- x --> |")


def test_every_row_of_the_page_has_all_its_cells() -> None:
    rows = re.findall(r"^\|.*<!-- \w+ --> \|$", (ROOT / "docs" / "benchmarks.md").read_text(), re.M)
    assert rows
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 8, row
        assert cells[6] in ("met", "**missed**"), row
