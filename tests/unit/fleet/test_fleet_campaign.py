"""A campaign over folders: a commit on a branch of each, work trees untouched, waves, stop, and going on."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from small_fleet import FIXED, fleet_of, shown, two_versions
from template_versions import git, snapshot

from carrental_mlops.errors import ConfigError, CrmError, PlatformError
from carrental_mlops.files import locked
from carrental_mlops.fleet import branch as branches
from carrental_mlops.fleet.campaign import Campaign, Result, Settings, waves_of
from carrental_mlops.fleet.campaign_state import CampaignState, Entry
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.inventory import Member, read_fleet
from carrental_mlops.governance.ledger import parse_ledger

BRANCH = "crm-upgrade/2.0.0"


def _campaign(tmp_path: Path, canary: tuple[str, ...] = (), **how: object) -> tuple[Campaign, CampaignState]:
    _, new, versions = two_versions(tmp_path / "versions")
    fleet = read_fleet(str(tmp_path / "repos"), canary=canary)
    settings = replace(Settings(), **how)  # type: ignore[arg-type]
    state = CampaignState(tmp_path / "state" / "upgrade.jsonl", "2.0.0")
    return Campaign(fleet, new, Clones(tmp_path / "clones"), settings, versions), state


def _repos(tmp_path: Path, *names: str) -> Path:
    old, _, _ = two_versions(tmp_path / "versions")
    return fleet_of(tmp_path / "repos", old, *names)


def _of(result: Result, repo: str) -> Entry:
    return next(one for one in result.entries if one.repo == repo)


def test_each_repo_gets_a_branch_and_keeps_its_work_tree(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a", "b")
    (repos / "a" / "mine.txt").write_text("not committed\n")
    before = snapshot(repos / "a")
    campaign, state = _campaign(tmp_path)
    result = campaign.run(state)
    assert [(e.repo, e.step, e.verdict) for e in result.entries] == [
        ("a", "committed", "clean"),
        ("b", "committed", "clean"),
    ]
    assert snapshot(repos / "a") == before
    assert shown(repos / "a", BRANCH, "Makefile") == FIXED
    assert shown(repos / "a", BRANCH, "mine.txt") == "a\n"
    assert "gone.txt" not in git(repos / "a", "ls-tree", "--name-only", BRANCH)
    assert json.loads(shown(repos / "a", BRANCH, ".crm.json"))["version"] == "2.0.0"
    assert git(repos / "a", "rev-parse", f"{BRANCH}^") == git(repos / "a", "rev-parse", "HEAD")
    assert "# Upgrade carrental-mlops 1.0.0 to 2.0.0" in (tmp_path / "state" / "upgrade" / "a.md").read_text()


def test_a_file_in_conflict_keeps_the_teams_text_and_the_ledger_says_so(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a-conflict")
    campaign, state = _campaign(tmp_path, stop_above=1.0)
    entry = _of(campaign.run(state), "a-conflict")
    assert (entry.verdict, entry.conflicts, entry.step) == ("conflicts", 1, "committed")
    text = shown(repos / "a-conflict", BRANCH, "Makefile")
    assert "line 3 of ours" in text and "<<<<<<<" not in text
    (declined,) = parse_ledger(shown(repos / "a-conflict", BRANCH, ".crm-ledger.json"))
    assert declined.path == "Makefile" and "+line 3 mended" in declined.patch
    assert shown(repos / "a-conflict", BRANCH, "new.txt") == "# Managed by crm.\nnew\n"
    report = (tmp_path / "state" / "upgrade" / "a-conflict.md").read_text()
    assert "1 files are as you had them" in report and "`Makefile`" in report


def test_what_was_declined_comes_back_at_the_next_upgrade(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a-conflict")
    campaign, state = _campaign(tmp_path, stop_above=1.0)
    campaign.run(state)
    git(repos / "a-conflict", "merge", "--quiet", "--ff-only", BRANCH)
    old, _, versions = two_versions(tmp_path / "versions")
    third = replace(old, version="3.0.0", root=versions.get("2.0.0").root)
    made = branches.prepare(repos / "a-conflict", third, versions, "t <t@example.com>")
    assert made is not None and made.outcome.returned == ("Makefile",) and made.outcome.unmerged == ("Makefile",)


def test_a_second_run_makes_nothing_again(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    first = _of(campaign.run(state), "a").commit
    told: list[Entry] = []
    again, _ = _campaign(tmp_path)
    again.tell = told.append
    again.run(CampaignState(state.path, "2.0.0"))
    assert told == [] and git(repos / "a", "rev-parse", BRANCH).strip() == first


def test_without_its_state_the_same_commit_is_made(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    campaign.run(state)
    before = git(repos / "a", "rev-parse", BRANCH)
    state.path.unlink()
    campaign, state = _campaign(tmp_path)
    assert _of(campaign.run(state), "a").step == "committed"
    assert git(repos / "a", "rev-parse", BRANCH) == before


def test_a_branch_with_somebodys_commits_is_left_alone(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    git(repos / "a", "branch", BRANCH)
    campaign, state = _campaign(tmp_path)
    entry = _of(campaign.run(state), "a")
    assert entry.step == "failed" and "somebody's commits" in entry.why
    assert git(repos / "a", "rev-parse", BRANCH) == git(repos / "a", "rev-parse", "HEAD")


def test_our_own_branch_follows_the_repo(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    campaign.run(state)
    git(repos / "a", "commit", "--quiet", "--allow-empty", "--message", "team")
    state.path.unlink()
    campaign, state = _campaign(tmp_path)
    assert _of(campaign.run(state), "a").step == "committed"
    assert git(repos / "a", "rev-parse", f"{BRANCH}^") == git(repos / "a", "rev-parse", "HEAD")


def test_canaries_go_first_and_a_failing_wave_stops_the_next(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a", "b", "c-conflict", "d")
    campaign, state = _campaign(tmp_path, canary=("c-*",))
    result = campaign.run(state)
    assert result.failing and "wave 0: 1 of 1 repos failed" in result.stopped
    assert [one.step for one in result.entries] == ["committed", "waiting", "waiting", "waiting"]
    assert git(repos / "a", "branch", "--list", BRANCH) == ""
    campaign, _ = _campaign(tmp_path, canary=("c-*",), stop_above=1.0)
    assert not campaign.run(CampaignState(state.path, "2.0.0")).stopped
    assert git(repos / "a", "branch", "--list", BRANCH).strip() == BRANCH


def test_within_a_wave_it_stops_once_too_many_have_failed(tmp_path: Path) -> None:
    names = [f"r{n}-conflict" for n in range(5)]
    _repos(tmp_path, *names)
    campaign, state = _campaign(tmp_path, jobs=1, waves=("100%",))
    steps = [one.step for one in campaign.run(state).entries]
    assert steps == ["committed", "committed", "waiting", "waiting", "waiting"]


def test_one_broken_repo_does_not_stop_the_others(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a", "b", "c", "d", "e")
    subprocess.run(["git", "checkout", "--quiet", "--orphan", "empty"], cwd=repos / "b", check=True)
    campaign, state = _campaign(tmp_path, waves=("100%",))
    result = campaign.run(state)
    assert _of(result, "b").step == "failed" and _of(result, "b").why
    assert [one.step for one in result.entries].count("committed") == 4 and not result.stopped


def test_a_failed_repo_is_tried_again(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    git(repos / "a", "branch", BRANCH)
    campaign, state = _campaign(tmp_path)
    campaign.run(state)
    git(repos / "a", "branch", "-D", BRANCH)
    campaign, _ = _campaign(tmp_path)
    assert _of(campaign.run(CampaignState(state.path, "2.0.0")), "a").step == "committed"


def test_a_dry_run_leaves_no_object_and_no_branch(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a", "b-conflict")

    def objects() -> set[str]:
        return {str(p) for name in ("a", "b-conflict") for p in (repos / name / ".git").rglob("*") if p.is_file()}

    before = objects()
    campaign, state = _campaign(tmp_path)
    result = campaign.foresee()
    assert [(e.repo, e.verdict, e.step) for e in result.entries] == [
        ("a", "clean", "waiting"),
        ("b-conflict", "conflicts", "waiting"),
    ]
    assert objects() == before and not state.path.exists()


def test_a_repo_on_the_version_is_left_alone(tmp_path: Path) -> None:
    repos = _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    campaign.run(state)
    git(repos / "a", "merge", "--quiet", "--ff-only", BRANCH)
    git(repos / "a", "branch", "-D", BRANCH)
    state.path.unlink()
    campaign, state = _campaign(tmp_path)
    assert _of(campaign.run(state), "a").step == "current"


def test_a_state_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    campaign.run(state)
    with state.path.open("ab") as stream:
        stream.write(b'{"repo": "a", "wa')
    after = CampaignState(state.path, "2.0.0")
    with after.held():
        assert after.entries["a"].step == "committed"
        after.put(replace(after.entries["a"], why="x"))
    for line in state.path.read_text().splitlines():
        json.loads(line)


def test_a_state_of_another_campaign_or_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    with CampaignState(path, "2.0.0").held():
        pass
    with pytest.raises(ConfigError, match=r"campaign to 2\.0\.0"), CampaignState(path, "3.0.0").held():
        pass
    path.write_text("[]\n")
    with pytest.raises(ConfigError, match="no state of a campaign"), CampaignState(path, "3.0.0").held():
        pass


def test_two_processes_do_not_run_one_campaign(tmp_path: Path) -> None:
    _repos(tmp_path, "a")
    campaign, state = _campaign(tmp_path)
    state.path.parent.mkdir()
    with locked(state.path.with_name("upgrade.jsonl.lock")), pytest.raises(PlatformError, match="another process"):
        campaign.run(state)


def _members(canaries: int, rest: int) -> list[Member]:
    return [Member(f"r{n}", canary=n < canaries) for n in range(canaries + rest)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [(("10%",), [2, 1, 9]), (("3", "50%"), [2, 3, 5, 2]), (("100%",), [2, 10]), (("99",), [2, 10]), ((), [2, 10])],
)
def test_waves_have_their_sizes(sizes: tuple[str, ...], expected: list[int]) -> None:
    waves = waves_of(_members(2, 10), sizes)
    assert [list(waves.values()).count(n) for n in range(max(waves.values()) + 1)] == expected


def test_without_canaries_the_first_share_is_the_first_wave() -> None:
    assert list(waves_of(_members(0, 10), ("10%",)).values()) == [0] + [1] * 9


@pytest.mark.parametrize("size", ["0", "x", "101%", "-1", "1.5"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(CrmError, match="--wave"):
        waves_of(_members(0, 3), (size,))
