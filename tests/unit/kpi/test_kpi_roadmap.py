"""Where milestones stand, and roadmaps that cannot be."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from kpi_repo import day

from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.features import Feature
from carrental_mlops.kpi.roadmap import EXAMPLE, MilestoneStanding, Roadmap, counts, read_roadmap, standings
from carrental_mlops.kpi.service import Service

START = date(2026, 1, 5)


def roadmap(*milestones: dict[str, Any], **parts: Any) -> Roadmap:
    track = {"name": "MLOps deployment", "initiatives": [{"name": "a", "owner": "lead", "milestones": milestones}]}
    return Roadmap.model_validate({"start": START, "tracks": [track], **parts})


def live(*days: float, name: str = "fraud") -> Service:
    made = tuple(
        Feature.model_validate({"service": name, "name": f"f{n}", "reached": {"production": day(at)}})
        for n, at in enumerate(days)
    )
    return Service(name=name, team="risk", tier=1, template="t", version=None, features=made, deployments=(),
                   versions=())  # fmt: skip


def stand(found: Roadmap, today: int, *services: Service) -> dict[str, MilestoneStanding]:
    return {one.milestone: one for one in standings(found, services, day(today).date())}


def test_a_milestone_is_planned_then_due_soon_then_late() -> None:
    plan = roadmap({"name": "a", "due_day": 30})
    assert [stand(plan, today)["a"].status for today in (15, 16, 30, 31)] == ["planned", "due soon", "due soon", "late"]
    assert stand(plan, 33)["a"].said == "3 days late"


def test_its_owner_s_word_makes_it_done() -> None:
    plan = roadmap({"name": "a", "due_day": 30, "done": "2026-01-20"})
    assert (stand(plan, 99)["a"].status, stand(plan, 99)["a"].done) == ("done", date(2026, 1, 20))
    with pytest.raises(ConfigError, match="has not come"):
        stand(plan, 3)


def test_events_make_it_done_on_the_day_of_the_last_feature_that_it_wants() -> None:
    plan = roadmap({"name": "a", "due_day": 30, "reached": {"stage": "production", "features": 3}})
    assert stand(plan, 40, live(9), live(2))["a"].status == "late"
    assert stand(plan, 40, live(9, 25), live(2))["a"].done == day(25).date()


def test_features_of_other_services_do_not_count_where_some_are_named() -> None:
    reached = {"stage": "production", "features": 1, "services": ["damage"]}
    plan = roadmap({"name": "a", "due_day": 30, "reached": reached})
    assert stand(plan, 3, live(1))["a"].status == "planned"
    assert stand(plan, 3, live(1, name="damage"))["a"].status == "done"


def test_what_waits_for_something_late_or_due_after_it_is_at_risk_through_the_chain() -> None:
    plan = roadmap(
        {"name": "c", "due_day": 90, "after": ["b"]},
        {"name": "b", "due_day": 60, "after": ["a"]},
        {"name": "a", "due_day": 30},
        {"name": "e", "due_day": 40, "after": ["d"]},
        {"name": "d", "due_day": 45},
    )
    found = stand(plan, 10)
    assert {name: one.status for name, one in found.items()} == {
        "c": "planned", "b": "planned", "a": "planned", "e": "at risk", "d": "planned"
    }  # fmt: skip
    assert found["e"].said == "waits for d (due 5 days later)"
    assert [stand(plan, 31)[name].status for name in "abc"] == ["late", "at risk", "at risk"]
    assert [stand(plan, 31)[name].said for name in "bc"] == ["waits for a (late)", "waits for b (at risk)"]
    assert counts(standings(plan, (), day(31).date()))["at risk"] == 3


@pytest.mark.parametrize(
    ("milestones", "said"),
    [
        ([{"name": "a", "due_day": 1}, {"name": "a", "due_day": 2}], "two milestones are named a"),
        ([{"name": "a", "due_day": 1, "after": ["b"]}], "which is no milestone"),
        ([{"name": "a", "due_day": 1, "after": ["b"]}, {"name": "b", "due_day": 1, "after": ["a"]}], "wait for each"),
        ([{"name": "a", "due_day": 1, "done": START, "reached": {"stage": "idea", "features": 1}}], "has both"),
        ([{"name": "a", "due_day": 1, "owner": "x"}], "owner"),
        ([{"name": "a", "due_day": -1}], "due_day"),
    ],
)
def test_a_roadmap_that_cannot_be_is_refused(tmp_path: Path, milestones: list[dict[str, Any]], said: str) -> None:
    path = tmp_path / "roadmap.yaml"
    track = {"name": "t", "initiatives": [{"name": "a", "owner": "lead", "milestones": milestones}]}
    path.write_text(yaml.safe_dump({"start": START, "tracks": [track]}))
    with pytest.raises(ConfigError, match=said):
        read_roadmap(path)


def test_every_day_moves_with_the_start(tmp_path: Path) -> None:
    early, late = (standings(read_roadmap(EXAMPLE, start), (), START) for start in (START, date(2026, 2, 5)))
    assert {(b.due - a.due).days for a, b in zip(early, late, strict=True)} == {31}


def test_without_a_start_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no `start`"):
        read_roadmap(EXAMPLE)


def test_the_example_has_the_three_tracks_and_an_owner_for_each_initiative() -> None:
    found = read_roadmap(EXAMPLE, START)
    assert [track.name for track in found.tracks] == ["Data architecture", "MLOps deployment", "GenAI"]
    assert (found.features, found.days, found.past_days, found.goal_days) == (14, 365, 90, 22)
    assert all(one.status in ("planned", "due soon") for one in standings(found, (), START))
