"""Medians, shares, work in parallel, versions."""

from __future__ import annotations

import random

import pytest
from kpi_repo import day

from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.behind import published, upgrades
from carrental_mlops.kpi.delivery import delivery, median_through, share
from carrental_mlops.kpi.events import Deployment
from carrental_mlops.kpi.features import Feature
from carrental_mlops.kpi.overview import as_of
from carrental_mlops.kpi.parallel import parallel
from carrental_mlops.kpi.service import Service, Taken


def service(name: str = "fraud", team: str = "risk", version: str = "1.4.0", **parts: object) -> Service:
    given = {"features": (), "deployments": (), "versions": (), "tier": 1, "template": "fraud-realtime", **parts}
    return Service.model_validate({"name": name, "team": team, "version": version, **given})


def feature(began: float, live: float | None = None, name: str = "fraud") -> Feature:
    reached = {"idea": day(began), **({"production": day(live)} if live is not None else {})}
    return Feature.model_validate({"service": "fraud", "name": name, "reached": reached})


def test_stages_out_of_order_take_no_days_and_those_after_production_count_nowhere() -> None:
    reached = {"idea": day(3), "created": day(1), "trained": day(9), "gate_passed": day(5), "staging": day(30),
               "production": day(20)}  # fmt: skip
    one = Feature.model_validate({"service": "fraud", "name": "fraud", "reached": reached})
    assert one.stage_days() == {
        "idea": 2, "created": 0, "trained": 6, "gate_passed": 0, "staging": 11, "production": 0
    }  # fmt: skip
    assert one.lead_days == sum(one.stage_days().values()) == 19


def test_with_nothing_under_way_it_is_the_plain_median() -> None:
    assert median_through([(days, True) for days in (3, 1, 2, 9, 8)]) == 3


def test_slow_features_under_way_raise_the_median() -> None:
    done = [(10, True), (20, True), (30, True)]
    assert median_through([*done, (60, False), (60, False)]) == 30
    assert median_through([*done, *[(60, False)] * 4]) is None
    assert median_through([]) is None


def test_the_median_of_kaplan_and_meier_is_that_of_the_published_example() -> None:
    """Freireich's 21 patients with 6-MP: median 23 weeks (Kaplan-Meier, in every text on survival)."""
    through = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    on_their_way = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    times = [(week, True) for week in through] + [(week, False) for week in on_their_way]
    random.Random(0).shuffle(times)
    assert median_through(times) == 23


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(2, 9, 0.07649, 0.49636), (0, 20, 0, 0.11916), (20, 20, 0.88084, 1), (30, 400, 0.05608, 0.09963)],
)
def test_a_share_has_wilson_s_interval_as_scipy_has_it(count: int, of: int, low: float, high: float) -> None:
    """Expected: scipy.stats.binomtest(count, of).proportion_ci(0.9, "wilson")."""
    found = share(count, of)
    assert found.share == count / of
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_of_nothing_there_is_no_share() -> None:
    assert (share(0, 0).share, share(0, 0).low) == (None, None)


def test_failures_count_against_deployments_within_the_window_and_rollbacks_against_nothing() -> None:
    def made(at: float, **more: object) -> Deployment:
        return Deployment.model_validate({"id": f"prod-{at}", "commit": None, "asked_at": day(at), **more})

    runs = (
        made(1, failed_at=day(1), restored_at=day(2)),
        made(200),
        made(210, failed_at=day(210), restored_at=day(210.5)),
        made(210.5, back=True),
        made(220, failed_at=day(220)),
        made(230),
    )
    found = delivery([service(deployments=runs, features=(feature(0, 1),))], day(240), 90, 22)
    assert (found.deployments, found.change_failure.count, found.restore_h, found.failing_now) == (4, 2, 12, 1)
    assert found.deployments_a_week == pytest.approx(4 / 90 * 7)


def test_what_lies_after_the_instant_is_not_seen() -> None:
    bad = Deployment(id="prod-1", commit=None, asked_at=day(5), live_at=day(5), failed_at=day(9), restored_at=day(10))
    taken = (Taken(version="1.0.0", at=day(0)), Taken(version="1.1.0", at=day(8)))
    whole = service(features=(feature(0, 7), feature(6)), deployments=(bad,), versions=taken)
    seen = as_of(whole, day(5.5))
    assert [one.live for one in seen.features] == [None]
    assert seen.deployments[0].failed_at is None and seen.version == "1.0.0"
    assert delivery([as_of(whole, day(9.5))], day(9.5), 90, 22).failing_now == 1
    assert delivery([as_of(whole, day(10.5))], day(10.5), 90, 22).failing_now == 0


def test_teams_and_features_under_way_at_once_are_counted() -> None:
    risk = service(features=(feature(0, 10), feature(5, 15), feature(18)))
    fleet = service("damage", "cars", features=(feature(10),))
    found = parallel([risk, fleet], day(20), 20)
    assert (found.features_now, found.teams_now) == (2, 2)
    assert found.features_mean == pytest.approx((10 + 10 + 2 + 10) / 20)
    assert found.teams_mean == pytest.approx((15 + 2 + 10) / 20)


def test_only_a_repo_within_one_minor_of_the_latest_counts() -> None:
    some = [service(f"s{n}", version=v) for n, v in enumerate(("1.4.2", "1.3.0", "1.2.9", "0.9.0", "2.0.0"))]
    found = upgrades(some, "1.4.0", {}, day(0))
    assert [(one.minors, one.within_one) for one in found.repos] == [
        (0, True), (1, True), (2, False), (None, False), (None, False)
    ]  # fmt: skip
    assert (found.within_one.count, found.within_one.of) == (2, 5)
    with pytest.raises(ConfigError, match="no version"):
        upgrades(some, "newest", {}, day(0))


def test_lag_counts_from_the_first_version_that_is_lacked() -> None:
    days = {"1.2.0": day(0), "1.3.0": day(10), "1.4.0": day(30)}
    taken = (Taken(version="1.1.0", at=day(-9)), Taken(version="1.2.0", at=day(4)))
    found = upgrades([service(version="1.2.0", versions=taken), service(version="1.4.0")], "1.4.0", days, day(40))
    assert [one.lag_days for one in found.repos] == [30, 0]
    assert found.taken_days == 4
    assert upgrades([service(version="1.2.0")], "1.4.0", {}, day(40)).repos[0].lag_days is None


def test_days_of_versions_are_read_from_both_forms_of_a_heading() -> None:
    text = "# Changelog\n\n## 1.1.0 (unreleased)\n\n## 1.0.1 (2026-01-06)\n- a\n\n## [1.0.0] - 2026-01-05\n"
    assert published(text) == {"1.0.1": day(1), "1.0.0": day(0)}
