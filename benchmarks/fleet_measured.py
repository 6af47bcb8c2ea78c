"""Repos of a fleet made, upgraded by our two ways, and every seeded edit looked for afterwards."""

from __future__ import annotations

import functools
import itertools
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleet_repos import TEMPLATES, Edit, Sides, apply, edits, lost, missing, override, sides, versions
from measure import ROOT

sys.path.insert(0, str(ROOT / "tests" / "shared"))

from template_versions import commit, git, repo_of

from carrental_mlops.fleet import inventory
from carrental_mlops.fleet.campaign import Campaign, Settings
from carrental_mlops.fleet.campaign_state import CampaignState, Entry
from carrental_mlops.fleet.clones import Clones
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.scaffold.rendering import Rendering
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.override_report import report
from carrental_mlops.upgrade.phases import start
from carrental_mlops.upgrade.plan import plan

NAME, _PACKAGE = "fraud-payments", "fraud_payments"
_BATCH = 50
"""Repos that lie on the disk at once."""
Kind = tuple[str, int, str]
"""Template, the version that it stands on (of `versions`), and where its CI runs."""
KINDS: tuple[Kind, ...] = tuple((t, v, ci) for t in TEMPLATES for v in (0, 1) for ci in ("gitlab", "github"))


@dataclass
class Taken:
    """What was measured of one tool."""

    seconds: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    """Of all repos, what the commands that were started used too."""
    clean: int = 0
    edits: int = 0
    lost: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Repos that merged clean and lack a line of the release."""
    failed: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the processor time of a block, of the commands that end in it too."""
        before = _cpu_s()
        yield
        self.cpu_s += _cpu_s() - before


@dataclass
class Memory:
    """Resident memory of this process, each so many repos."""

    mib: list[tuple[int, float]] = field(default_factory=list)

    def look(self, done: int) -> None:
        """Write down what it is now."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.mib.append((done, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

    def __str__(self) -> str:
        later = [at for at in self.mib if at[0] >= self.mib[-1][0] / 5]
        slope = statistics.linear_regression(*zip(*later, strict=True)).slope * 100 if len(later) > 1 else float("nan")
        first, last = later[0], later[-1]
        return f"{first[1]:.0f} MiB after {first[0]} repos, {last[1]:.0f} after {last[0]}: {slope:+.2f} MiB a 100 repos"


class Fleet:
    """The releases, and repos of each kind with their teams' edits.

    Args:
        folder: everything lies there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = versions(folder / "versions")
        self.rendered: dict[Kind, Sides] = {
            kind: sides(kind[0], self.versions[kind[1]], self.newest, self.answers(kind)) for kind in KINDS
        }

    @property
    def newest(self) -> Material:
        """Where all go."""
        return self.versions[-1]

    def answers(self, kind: Kind, name: str = NAME) -> dict[str, str]:
        """To the template's questions."""
        told = {"name": name, "package": _PACKAGE, "owner": "risk-ds@example.com", "tier": "1", "ci": kind[2]}
        return {name: told[name] for name in json.loads((self._questions(kind)).read_text()) if name in told}

    def repo(self, seed: int, place: Path, first: Path | None = None) -> tuple[Kind, list[Edit]]:
        """Make a repo with its team's edits, committed, under its own name; `first`: a copy of a peer's."""
        kind = KINDS[seed % len(KINDS)]
        shutil.rmtree(place, ignore_errors=True)
        if first is None:
            repo_of(self.versions[kind[1]], place, kind[0], self.answers(kind, f"{NAME}-{seed}"))
            shutil.rmtree(place / ".git" / "hooks", ignore_errors=True)
        else:
            shutil.copytree(first, place, symlinks=True)
        made = edits(seed, self.rendered[kind])
        apply(place, made)
        if override(place, _PACKAGE, seed):
            made.append(Edit("elsewhere", "override", f"src/{_PACKAGE}/steps.py", said="class TeamTrain(TrainStep)"))
        if git(place, "status", "--porcelain"):
            commit(place)
        return kind, made

    def _questions(self, kind: Kind) -> Path:
        return self.versions[kind[1]].template(kind[0]) / "cookiecutter.json"


def campaigns(fleet: Fleet, count: int, memory: Memory) -> Taken:
    """Every repo by `crm fleet upgrade` as it is: a branch and a report each, one repo at a time."""
    known = {one.version: one for one in fleet.versions}
    versions_of, taken = Versions(known.__getitem__), Taken()
    for begin in range(0, count, _BATCH):
        made = {}
        for seed in range(begin, min(begin + _BATCH, count)):
            place = fleet.folder / "batch" / f"repo-{seed}"
            made[place.name] = (seed, place, *fleet.repo(seed, place))
        members = tuple(inventory.Member(name, place) for name, (_, place, _, _) in made.items())
        state = CampaignState(fleet.folder / f"campaign-{begin}.jsonl", fleet.newest.version)
        ends = [time.perf_counter()]

        def ended(_: Entry, ends: list[float] = ends) -> None:
            ends.append(time.perf_counter())
            memory.look(len(taken.seconds) + len(ends) - 1)

        with taken.timed():
            Campaign(
                inventory.Fleet(members), fleet.newest, Clones(fleet.folder / "clones"),
                Settings(jobs=1, waves=("100%",), stop_above=1.0, gate="made"), versions_of,
                ended,
            ).run(state)  # fmt: skip
        taken.seconds += [after - before for before, after in itertools.pairwise(ends)]
        for seed, place, kind, done in made.values():
            _judge_branch(taken, fleet, (seed, kind, place, done), state.entries[place.name])
        shutil.rmtree(fleet.folder / "batch")
        _told("crm fleet upgrade", taken, count)
    return taken


def _judge_branch(taken: Taken, fleet: Fleet, case: tuple[int, Kind, Path, list[Edit]], entry: Entry) -> None:
    if entry.step != "committed":
        taken.failed.append(f"repo {case[0]}: {entry.step} {entry.why}")
        return
    git(case[2], "checkout", "-q", f"crm-upgrade/{fleet.newest.version}")
    judge(taken, fleet, case, bool(entry.conflicts))


def ours(fleet: Fleet, count: int, memory: Memory) -> tuple[Taken, list[float], list[Edit]]:
    """Every repo by the engine of `crm upgrade`; also the seconds of the override report in each, and all edits."""
    compiled = functools.cache(Rendering)
    taken, looked, every = Taken(), [], list[Edit]()
    repo = fleet.folder / "repo"
    for seed in range(count):
        kind, made = fleet.repo(seed, repo)
        every += made
        old = fleet.versions[kind[1]]
        with taken.timed():
            began = time.perf_counter()
            report(repo, old, fleet.newest)
            merging = time.perf_counter()
            done = start(plan(repo, old, fleet.newest, compile_template=compiled))
            ended = time.perf_counter()
        looked.append(merging - began)
        taken.seconds.append(ended - began)
        judge(taken, fleet, (seed, kind, repo, made), bool(done.unmerged))
        if not done.unmerged and git(repo, "status", "--porcelain"):
            taken.failed.append(f"repo {seed}: not clean after its commit")
        memory.look(len(taken.seconds))
        if len(taken.seconds) % _BATCH == 0:
            _told("crm upgrade", taken, count)
    return taken, looked, every


def _told(name: str, taken: Taken, count: int) -> None:
    done = len(taken.seconds)
    print(f"{name} {done}/{count}: {statistics.mean(taken.seconds):.3f} s a repo", file=sys.stderr, flush=True)


def judge(taken: Taken, fleet: Fleet, case: tuple[int, Kind, Path, list[Edit]], shown: bool) -> None:
    """Look for every edit, and where no conflict is shown for every line of the release."""
    seed, kind, repo, made = case
    sides_of = unmerged(repo)
    taken.edits += len(made)
    taken.lost += [f"repo {seed}: {edit}" for edit in lost(repo, made, sides_of)]
    if shown or sides_of:
        return
    taken.clean += 1
    removed = "\n".join(edit.gone for edit in made)  # a team may remove a line that an earlier release brought
    if any(line not in removed for line in missing(repo, fleet.rendered[kind][1])):
        taken.lacking.append(f"repo {seed}")


def unmerged(repo: Path) -> dict[str, bytes]:
    """Path to every side of each conflict: of the index, a reject file, or a file with markers."""
    found: dict[str, bytes] = {}
    for row in git(repo, "ls-files", "--unmerged", "-z").split("\0"):
        head, _, path = row.partition("\t")
        if path:
            blob = git(repo, "cat-file", "blob", head.split(" ")[1]).encode(errors="surrogateescape")
            found[path] = found.get(path, b"") + b"\n" + blob
    for path in repo.rglob("*.rej"):
        name = path.relative_to(repo).as_posix()
        found[name] = found[name.removesuffix(".rej")] = path.read_bytes()
    return found


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
