from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import NamedTuple, final

import pytest

from carrental_mlops.core import Pipeline, Step, drawing, drop, step


class Halves(NamedTuple):
    left: int
    right: int


class Read(Step):
    @final
    def run(self) -> Halves:
        return Halves(1, 2)


class Join(Step):
    @final
    def run(self, *, left: int, right: int, more: int, further: int) -> int:
        return left + right + more + further


class Check(Step):
    @final
    def run(self, *, total: int) -> None:
        return None


class Whole(Pipeline):
    name = "whole"
    read = step(Read)
    join = step(Join)
    check = step(Check)

    def build(self) -> None:
        halves = self.read.run()
        total = self.join.run(left=halves.left, right=halves.right, more=halves.left, further=halves.right)
        self.check.run(total=total)


class Shorter(Whole):
    check = drop('the rule engine checks & "decides"')

    def build(self) -> None:
        halves = self.read.run()
        self.join.run(left=halves.left, right=halves.right, more=halves.left, further=halves.right)


def test_a_dropped_slot_stands_at_the_end_with_its_reason() -> None:
    reason = 'the rule engine checks & "decides"'
    assert drawing.as_data(Shorter)["dropped"] == {"check": reason}
    assert drawing.as_text(Shorter).splitlines()[-1].split(maxsplit=2) == ["✗", "check", f"dropped: {reason}"]
    assert "check[\"check<br/>dropped: the rule engine checks & 'decides'\"]:::dropped" in drawing.as_mermaid(Shorter)
    texts = [node.text for node in ElementTree.fromstring(drawing.as_svg(Shorter)).iter() if node.tag.endswith("text")]
    assert f"check: dropped, {reason}" in texts


def test_nothing_is_said_of_drops_where_there_are_none() -> None:
    assert drawing.as_data(Whole)["dropped"] == {}
    for text in (drawing.as_text(Whole), drawing.as_mermaid(Whole), drawing.as_svg(Whole)):
        assert "dropped" not in text


@pytest.mark.parametrize("width", [40, 50, 60, 80])
def test_no_line_is_wider_than_the_terminal_and_the_rails_go_on(width: int) -> None:
    whole, lines = drawing.as_text(Whole), drawing.as_text(Whole, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()).replace("│", "") == "".join(whole.split()).replace("│", "")
    below_join = lines[2:-1]
    assert all(line.startswith("│") for line in below_join)


def test_lines_stay_whole_without_a_width() -> None:
    assert len(drawing.as_text(Whole).splitlines()) == 3
