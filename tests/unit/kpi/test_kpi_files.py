"""Ideas and costs, the files that people write."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.costs import Costs, money, read_costs
from carrental_mlops.kpi.ideas import ideas, note
from carrental_mlops.kpi.service import Service

TODAY = date(2026, 3, 2)


def test_an_idea_is_noted_once(tmp_path: Path) -> None:
    assert note(tmp_path, "night-rentals", TODAY, "ana", TODAY) == (tmp_path / "ideas.yaml", True)
    assert note(tmp_path, "night-rentals", TODAY, "ana", TODAY)[1] is False
    note(tmp_path, "fraud", date(2026, 1, 5), "jo: the 'first'", TODAY)
    found = ideas(tmp_path)
    assert [(one.feature, one.date.date(), one.person) for one in found] == [
        ("night-rentals", TODAY, "ana"), ("fraud", date(2026, 1, 5), "jo: the 'first'")
    ]  # fmt: skip


def test_comments_and_entries_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "ideas.yaml").write_text("# ours\n- {feature: a, date: 2026-01-05, person: jo}  # first")
    note(tmp_path, "b", TODAY, "ana", TODAY)
    text = (tmp_path / "ideas.yaml").read_text()
    assert text.startswith("# ours\n- {feature: a") and len(ideas(tmp_path)) == 2


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert note(tmp_path, "b", TODAY, "ana", TODAY, dry_run=True)[1] is True
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "day"), [("Night", TODAY), ("a--b", TODAY), ("a", date(2026, 3, 3))])
def test_a_name_or_day_that_cannot_be_is_refused(tmp_path: Path, name: str, day: date) -> None:
    with pytest.raises(ConfigError):
        note(tmp_path, name, day, "ana", TODAY)


def test_the_same_feature_with_another_day_is_refused(tmp_path: Path) -> None:
    note(tmp_path, "a", TODAY, "ana", TODAY)
    with pytest.raises(ConfigError, match="has a already"):
        note(tmp_path, "a", date(2026, 3, 1), "ana", TODAY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- [", "not YAML"),
        ("a: 1", "tuple"),
        ("- {feature: a, person: jo}", "date"),
        ("- {feature: a, date: soon, person: jo}", "date"),
        ("- {feature: a, date: 2026-01-05, person: jo}\n- {feature: a, date: 2026-01-06, person: jo}", "twice"),
        ("- 3", "0"),
    ],
)
def test_a_file_of_ideas_that_does_not_hold_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ideas.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        ideas(tmp_path)


def figure(amount: float, assumption: bool = False) -> dict[str, object]:
    return {"amount": amount, "source": "invoice 12", "assumption": assumption}


def service(name: str, team: str = "risk") -> Service:
    return Service(name=name, team=team, tier=1, template="t", version=None, features=(), deployments=(), versions=())


def test_the_return_counts_what_was_put_in_to_build_and_to_run() -> None:
    months = {"2026-01": {"cost": figure(100), "value": figure(600), "predictions": figure(50_000)},
              "2026-02": {"cost": figure(300), "value": figure(700), "predictions": figure(150_000)},
              "2026-03": {"cost": figure(9e9), "value": figure(0)}}  # fmt: skip
    given = Costs.model_validate({"currency": "EUR", "services": {"fraud": {"build": figure(900), "months": months}}})
    found = money(given, [service("fraud")], "2026-02").services[0]
    assert (found.months, found.cost, found.value, found.cost_per_1000) == (2, 400, 1300, 2)
    assert found.return_on_cost == 0 and found.payback_months == 2 and found.assumed == ()


def test_where_a_figure_is_missing_nothing_is_made_up() -> None:
    months = {"2026-01": {"cost": figure(100), "value": figure(600)}, "2026-02": {"cost": figure(300)}}
    given = Costs.model_validate({"currency": "EUR", "services": {"fraud": {"months": months}, "gone": {"months": {}}}})
    told = money(given, [service("fraud")], "2026-12")
    found = told.services[0]
    assert (found.cost_per_1000, found.return_on_cost, found.payback_months) == (None, None, None)
    assert told.unknown == ("gone",)


def test_a_team_s_use_names_the_services_whose_cost_nobody_knows() -> None:
    given = Costs.model_validate(
        {
            "currency": "EUR",
            "services": {"a": {"months": {"2026-01": {"cost": figure(80)}}}, "b": {"months": {}},
                         "c": {"months": {"2026-01": {"cost": figure(500)}}}},
            "teams": {"risk": {"cost_a_month": figure(100, assumption=True)}},
        }
    )  # fmt: skip
    used = money(given, [service("a"), service("b"), service("c", "cars")], "2026-01").teams
    assert [(one.cost, one.share, one.missing, one.assumed) for one in used] == [(80, 0.8, ("b",), True)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1},
        {"amount": -1, "source": "invoice"},
        {"amount": 1, "source": "invoice", "sum": 2},
    ],
)
def test_a_figure_without_a_source_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text(yaml.safe_dump({"currency": "EUR", "services": {"a": {"build": wrong, "months": {}}}}))
    with pytest.raises(ConfigError, match=r"services\.a\.build"):
        read_costs(path)


def test_a_figure_is_an_assumption_unless_somebody_says_it_is_not() -> None:
    given = {"currency": "EUR", "services": {"a": {"build": {"amount": 1, "source": "guess"}, "months": {}}}}
    assert money(Costs.model_validate(given), [service("a")], "2026-01").services[0].assumed == ("build: guess",)
