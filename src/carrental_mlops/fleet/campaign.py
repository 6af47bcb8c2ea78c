"""A campaign: every repo of the fleet on a newer version, canaries first, in waves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.files import whole_file
from carrental_mlops.fleet.branch import Upgrade, author_of, prepare, set_branch
from carrental_mlops.fleet.campaign_state import CampaignState, Entry
from carrental_mlops.fleet.campaign_text import merge_request, title
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.dynamic import Trials
from carrental_mlops.fleet.hosting import Host, MergeRequest, Proposal
from carrental_mlops.fleet.inventory import Fleet, Member
from carrental_mlops.fleet.tally import Tally, judged
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.versions import Material

_POLL_S = 20.0


@dataclass(frozen=True)
class Settings:
    """How a campaign goes."""

    jobs: int = 2
    """Repos at a time."""
    waves: tuple[str, ...] = ("10%",)
    """Sizes of the waves after the canaries, as a number or a share; what is left is the last one."""
    stop_above: float = 0.2
    """Share of a wave (fraction) that may fail before the next one is not begun."""
    gate: Literal["pipeline", "made"] = "pipeline"
    """What the merge requests of a wave must show before the next: a pipeline that passed, or nothing."""
    wait_s: float = 0.0
    """How long to wait for pipelines."""
    poll_s: float = _POLL_S
    dynamic: int | None = 0
    """How many repos that override a hook run under the new version, those that are taken first; None: all."""
    again: bool = False
    """Whether a merge request that somebody closed is made anew."""


@dataclass(frozen=True)
class Result:
    """Where a campaign is."""

    version: str
    entries: tuple[Entry, ...]
    stopped: str = ""
    """Why the next wave was not begun; empty where all are done."""
    failing: bool = False
    """Whether it stopped for failures, and not to wait for pipelines."""


def waves_of(members: Sequence[Member], sizes: Sequence[str]) -> dict[str, int]:
    """Name to wave: 0 for canaries, then by `sizes`, the rest last.

    Raises:
        ConfigError: a size is no number and no share.
    """
    found = {one.name: 0 for one in members if one.canary}
    rest = [one.name for one in members if not one.canary]
    at, wave = 0, 1 if found else 0
    for size in [*sizes, "100%"]:
        number, share = size.removesuffix("%"), size.endswith("%")
        if not number.isdigit() or int(number) < 1 or (share and int(number) > 100):
            raise ConfigError(f"--wave {size}: no number of repos and no share", "--wave 5, or --wave 10%")
        count = math.ceil(len(rest) * int(number) / 100) if share else int(number)
        found |= dict.fromkeys(rest[at : at + count], wave)
        wave += 1 if rest[at : at + count] else 0
        at += count
    return found


@dataclass
class Campaign:
    """One campaign.

    Args:
        fleet: its repos.
        new: the version to go to.
        clones: the repos as folders.
        settings: how it goes.
        versions: what is kept of each version.
        tell: is told each repo's news.
    """

    fleet: Fleet
    new: Material
    clones: Clones
    settings: Settings
    versions: Versions
    tell: Callable[[Entry], None] = lambda _: None

    def __post_init__(self) -> None:
        self._author = author_of(Path.cwd())
        self._branch = f"crm-upgrade/{self.new.version}"
        self._trials = Trials(self.settings.dynamic)

    def foresee(self) -> Result:
        """What `run` would do, with no branch, no push and no merge request; clones are brought up to date."""
        waves = waves_of(self.fleet.members, self.settings.waves)
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            found = list(pool.map(lambda one: self._foreseen(one, waves[one.name]), self.fleet.members))
        return Result(self.new.version, tuple(sorted(found, key=lambda e: (e.wave, e.repo))))

    def run(self, state: CampaignState) -> Result:
        """Carry it out, from where it was.

        Raises:
            ConfigError: the state is of another campaign.
            PlatformError: the state cannot be written, or another process runs this campaign.
        """
        with state.held():
            state.plan(waves_of(self.fleet.members, self.settings.waves))
            self._trials = Trials(self.settings.dynamic, sum(e.ran_s is not None for e in state.entries.values()))
            for wave in sorted({state.entries[one.name].wave for one in self.fleet.members}):
                here = [one for one in self.fleet.members if state.entries[one.name].wave == wave]
                done = self._wave(here, state)
                stopped, failing = self._judged(here, state, self._after(wave, state), done)
                if stopped:
                    return self._result(state, f"wave {wave}: {stopped}", failing)
            return self._result(state)

    def _after(self, wave: int, state: CampaignState) -> bool:
        """Whether a later wave waits for this one."""
        return any(state.entries[one.name].wave > wave for one in self.fleet.members)

    def _wave(self, members: Sequence[Member], state: CampaignState) -> set[str]:
        """Take what is left of it; the names of those that were taken. What was closed may be open again."""
        todo = [one for one in members if state.entries[one.name].step in ("waiting", "failed", "closed")]
        tally = Tally(self.settings.stop_above, len(members))
        for one in members:
            if one not in todo:
                tally.count(state.entries[one.name])
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            try:
                list(pool.map(lambda one: self._taken(one, state, tally), todo))
            except BaseException:
                tally.stop.set()
                raise
        return {one.name for one in todo}

    def _taken(self, member: Member, state: CampaignState, tally: Tally) -> None:
        if tally.stop.is_set():
            return
        entry = state.entries[member.name]
        try:
            done = self._upgraded(member, entry, state)
        except CrmError as error:
            done = replace(entry, step="failed", why=error.what)
        except OSError as error:
            done = replace(entry, step="failed", why=str(error))
        state.put(done)
        tally.count(done)
        if done.step != "closed" or done != entry:
            self.tell(done)

    def _upgraded(self, member: Member, entry: Entry, state: CampaignState) -> Entry:
        host, project = self.fleet.host, member.project
        entry = replace(entry, why="")
        if host is not None and project is not None:
            found = host.find(project.path, self._branch)
            if found and not (self.settings.again and _the(found).state == "closed"):
                return _with(entry, _the(found))
        root = self.clones.at(member)
        made = prepare(root, self.new, self.versions, self._author)
        if made is None:
            return replace(entry, step="current")
        made = self._trials.tried(root, made, self.new)
        entry = _told(entry, made)
        text = merge_request(made, self._branch)
        self._keep(state, member, text)
        if host is None or project is None:
            set_branch(root, self._branch, made.commit)
            return replace(entry, step="committed")
        self.clones.push(member, made.commit, self._branch)
        state.put(entry)
        draft = entry.verdict != "clean"
        proposal = Proposal(self._branch, project.branch, title(made), text, draft)
        return _with(entry, host.open(project.path, proposal))

    def _foreseen(self, member: Member, wave: int) -> Entry:
        entry = Entry(member.name, wave)
        try:
            if self.fleet.host is not None and member.project is not None:
                found = self.fleet.host.find(member.project.path, self._branch)
                if found and not (self.settings.again and _the(found).state == "closed"):
                    return _with(entry, _the(found))
            root = self.clones.at(member)
            made = prepare(root, self.new, self.versions, self._author, dry_run=True)
            tried = made and self._trials.tried(root, made, self.new)
            done = replace(entry, step="current") if tried is None else _told(entry, tried)
        except (CrmError, OSError) as error:
            done = replace(entry, step="failed", why=error.what if isinstance(error, CrmError) else str(error))
        self.tell(done)
        return done

    def _judged(self, members: Sequence[Member], state: CampaignState, more: bool, taken: set[str]) -> tuple[str, bool]:
        """Why the next wave may not begin, and whether that is for failures."""
        ends = time.monotonic() + self.settings.wait_s
        asked = members if more else [one for one in members if one.name not in taken]
        while True:
            if self.fleet.host is not None:
                self._ask_pipelines(asked, state, self.fleet.host)
            entries = [state.entries[one.name] for one in members]
            told = judged(entries)
            if too_many := told.too_many(self.settings.stop_above):
                return too_many, True
            if not more or self.settings.gate == "made":
                return "", False
            if not told.counted:
                closed = f"all {len(entries)} merge requests were closed, so nothing speaks for {self.new.version}"
                return f"{closed}: --again asks anew, --gate made goes on", False
            wait = [one for one in told.counted if _is_open(one)]
            if not wait:
                return "", False
            if time.monotonic() >= ends:
                none = sum(one.pipeline == "none" for one in wait)
                also = f" ({none} have none yet; without CI: --gate made)" if none else ""
                return f"{len(wait)} pipelines have not ended{also}; run the command again", False
            time.sleep(self.settings.poll_s)

    def _ask_pipelines(self, members: Sequence[Member], state: CampaignState, host: Host) -> None:
        for member in members:
            entry = state.entries[member.name]
            if member.project is not None and entry.number is not None and entry.step == "opened":
                state.put(_with(entry, host.state(member.project.path, entry.number)))

    def _keep(self, state: CampaignState, member: Member, text: str) -> None:
        """The text beside the state: a local branch has no merge request to read it in."""
        folder = state.path.with_suffix("")
        with whole_file(folder / f"{member.name.replace('/', '--')}.md") as draft:
            draft.write_text(text, encoding="utf-8")

    def _result(self, state: CampaignState, stopped: str = "", failing: bool = False) -> Result:
        entries = sorted((state.entries[one.name] for one in self.fleet.members), key=lambda e: (e.wave, e.repo))
        return Result(self.new.version, tuple(entries), stopped, failing)


def _is_open(entry: Entry) -> bool:
    """Whether its pipeline may still fail."""
    return entry.step == "opened" and entry.pipeline in ("running", "none") and entry.number is not None


def _the(found: Sequence[MergeRequest]) -> MergeRequest:
    """The one that counts: open before merged before closed."""
    order = {"opened": 0, "merged": 1, "closed": 2}
    return min(found, key=lambda one: order[one.state])


def _with(entry: Entry, found: MergeRequest) -> Entry:
    verdict = entry.verdict or ("breaks" if found.draft else "clean")
    entry = replace(entry, step=found.state, verdict=verdict, pipeline=found.pipeline)
    return replace(entry, number=found.number, url=found.url)


def _told(entry: Entry, made: Upgrade) -> Entry:
    outcome, breaks, ran = made.outcome, len(made.broken), made.overrides.dynamic
    return replace(
        entry, verdict="breaks" if breaks else "conflicts" if outcome.unmerged else "clean",
        version_from=outcome.version_from, files=len(outcome.changed), conflicts=len(outcome.unmerged), breaks=breaks,
        commit=made.commit, ran_s=round(ran.seconds, 1) if ran else entry.ran_s,
    )  # fmt: skip
