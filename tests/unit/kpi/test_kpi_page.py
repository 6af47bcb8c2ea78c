"""The page of 90 to 22 says what the roadmap and the commands say."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import typer

from carrental_mlops.cli.main import Commands
from carrental_mlops.kpi.events import STAGES
from carrental_mlops.kpi.roadmap import EXAMPLE, Roadmap, read_roadmap
from carrental_mlops.kpi.sections import WORDS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "explanation" / "90-to-22.md").read_text()
ROW = re.compile(r"^\| ([\w* ]+) \| \**(\d+)\** \| \**(\d+)\** \| \**(\d+)\** \| (.*?) \|", re.MULTILINE)


def test_days_by_stage_sum_to_the_past_and_the_goal() -> None:
    *rows, whole = [(name, int(past), int(goal), int(saved)) for name, past, goal, saved, _ in ROW.findall(PAGE)]
    assert [row[0] for row in rows] == [WORDS[stage] for stage in STAGES[1:]]
    assert whole[1:] == tuple(sum(row[n] for row in rows) for n in (1, 2, 3))
    assert whole[1:3] == (Roadmap().past_days, Roadmap().goal_days)
    assert all(past - goal == saved for _, past, goal, saved in (*rows, whole))


def test_each_command_that_saves_days_is_one_of_ours() -> None:
    root = typer.Context(typer.main.get_command(typer.Typer(cls=Commands, callback=lambda: None)))
    named = set(re.findall(r"`crm ([a-z ]+?)`", PAGE))
    for words in named:
        noun, *verb = words.split()
        assert noun in Commands.summaries, words
        if verb:
            _, command, _ = root.command.resolve_command(root, [noun])
            assert not hasattr(command, "commands") or verb[0] in command.commands, words
    assert len(named) > 10


def test_the_page_s_milestones_are_those_of_the_example() -> None:
    told = {(int(day), name) for day, name in re.findall(r"(?:\| |, )(\d+) ([a-zA-Z][^,|]+?)(?=,| \|)", PAGE)}
    roadmap = read_roadmap(EXAMPLE, date(2026, 1, 5))
    assert {(one.due_day, one.name) for _, _, one in roadmap.milestones()} <= told
    by_events = sum(one.reached is not None for track, _, one in roadmap.milestones() if track.name.startswith("MLOps"))
    assert f"{['Zero', 'One', 'Two', 'Three', 'Four', 'Five', 'Six'][by_events]} of the MLOps milestones" in PAGE


def test_the_reference_has_every_stage_and_status() -> None:
    page = (DOCS / "reference" / "kpi.md").read_text()
    for stage in STAGES:
        assert f"| {WORDS[stage]} |" in page
    for status in ("done", "late", "at risk", "due soon", "planned"):
        assert f"| {status} |" in page
