"""Which deployments failed, and how long that lasted, from real files of releases."""

from __future__ import annotations

from pathlib import Path

import pytest
from kpi_repo import KpiRepo, day

from carrental_mlops.config import load, repo_config
from carrental_mlops.kpi.deployments import deployments
from carrental_mlops.kpi.events import Deployment


@pytest.fixture
def repo(tmp_path: Path) -> KpiRepo:
    made = KpiRepo(tmp_path / "fraud")
    made.new(0)
    return made


def prod(repo: KpiRepo) -> dict[str, Deployment]:
    found = deployments(repo.root, repo_config(load(repo.root, "prod")), "prod")
    return {one.id: one for one in found}


def test_a_release_is_live_once_it_is_available(repo: KpiRepo) -> None:
    repo.deploy("prod", 1, after=0.5)
    one = prod(repo)["prod-1"]
    assert (one.live_at, one.failed_at, one.back) == (day(1.5), None, False)


def test_one_that_nobody_began_is_no_deployment(repo: KpiRepo) -> None:
    repo.deploy("prod", 1, state=None)
    assert prod(repo) == {}


def test_one_that_never_became_available_failed_until_something_is_live(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, state="failed", after=0.25)
    assert (prod(repo)["prod-2"].failed_at, prod(repo)["prod-2"].restored_at) == (day(2.25), None)
    repo.deploy("prod", 3)
    failed = prod(repo)["prod-2"]
    assert (failed.restored_at, failed.restore_h, failed.live_at) == (day(3), 18, None)


def test_a_rollback_says_that_what_it_took_back_failed(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, before="prod-1")
    repo.deploy("prod", 2.5, before="prod-2", content_of="prod-1")
    found = prod(repo)
    assert found["prod-3"].back and found["prod-3"].failed_at is None and found["prod-1"].failed_at is None
    assert (found["prod-2"].restore_h, found["prod-2"].why) == (12, "prod-3 took it back")


def test_the_same_content_put_back_again_is_no_failure(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, before="prod-1", content_of="prod-1")
    assert all(one.failed_at is None for one in prod(repo).values())


def test_a_canary_is_live_when_its_rollout_was_promoted(repo: KpiRepo) -> None:
    repo.deploy("prod", 1, track="canary")
    assert prod(repo)["prod-1"].live_at is None
    repo.journal("prod", 1.5, "rollout.promoted", "prod-1")
    assert prod(repo)["prod-1"].live_at == day(1.5)


def test_a_canary_that_a_person_takes_back_before_any_rollout_failed_since_it_was_asked_for(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, track="canary", before="prod-1")
    repo.deploy("prod", 2.5, before="prod-2", content_of="prod-1")
    assert (prod(repo)["prod-2"].failed_at, prod(repo)["prod-2"].restore_h) == (day(2), 12)


def test_a_rollout_that_goes_back_by_a_release_of_its_own_is_one_failure(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, track="canary", before="prod-1")
    repo.journal("prod", 2.25, "rollout.weight", "prod-2", weight=10)
    repo.deploy("prod", 2.5, before="prod-2", content_of="prod-1")
    repo.journal("prod", 2.75, "rollout.rolled_back", "prod-2")
    failed = [one for one in prod(repo).values() if one.failed_at]
    assert [(one.id, one.why) for one in failed] == [("prod-2", "its rollout went back")]


def test_a_shadow_is_no_deployment_and_one_of_an_ab_test_is_live_at_once(repo: KpiRepo) -> None:
    repo.deploy("prod", 1, track="shadow")
    repo.deploy("prod", 2, track="ab")
    assert [(one.id, one.live_at) for one in prod(repo).values()] == [("prod-2", day(2))]


def test_a_rollout_that_went_back_failed_from_its_first_weight_on(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, track="canary")
    repo.journal("prod", 2.25, "rollout.weight", "prod-2", weight=10)
    repo.journal("prod", 2.5, "rollout.weight", "prod-2", weight=25)
    repo.journal("prod", 2.75, "rollout.rolled_back", "prod-2")
    failed = prod(repo)["prod-2"]
    assert (failed.live_at, failed.failed_at, failed.restore_h) == (None, day(2.25), 12)


@pytest.mark.parametrize(("off", "hours"), [(4.0, 24), (None, 48)])
def test_the_kill_switch_says_that_what_was_live_failed_until_it_is_off_or_ends(
    repo: KpiRepo, off: float | None, hours: float
) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2)
    repo.journal("prod", 3, "switch.on", until=day(5).isoformat())
    if off is not None:
        repo.journal("prod", off, "switch.off")
    found = prod(repo)
    assert found["prod-1"].failed_at is None
    assert (found["prod-2"].failed_at, found["prod-2"].restore_h) == (day(3), hours)


def test_a_switch_ends_with_its_own_off_and_not_with_an_earlier_one(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.journal("prod", 1.5, "switch.off")
    repo.journal("prod", 2, "switch.on", until=day(9).isoformat())
    repo.journal("prod", 2.25, "switch.off")
    assert prod(repo)["prod-1"].restore_h == 6


def test_two_signs_of_one_failure_are_one(repo: KpiRepo) -> None:
    repo.deploy("prod", 1)
    repo.deploy("prod", 2, before="prod-1")
    repo.journal("prod", 2.25, "switch.on", until=day(9).isoformat())
    repo.deploy("prod", 2.5, before="prod-2", content_of="prod-1")
    assert [one.id for one in prod(repo).values() if one.failed_at] == ["prod-2"]
