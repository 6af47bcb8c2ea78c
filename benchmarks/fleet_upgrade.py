"""A fleet of generated repos upgraded: `crm upgrade` on all, `cruft update` and `copier update` on a sample of them.

    python benchmarks/fleet_upgrade.py [--repos 1000] [--sample 30] [--dynamic 30]

Ours runs as `crm fleet` does, in one process with each version's templates compiled once, the static override report
before every merge. The peers run as a team runs them, one command a repo, on repos that their own command made of the
same files. Every seeded edit is looked for afterwards. Writes docs/reference/fleet-upgrade.md.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet_repos import TEMPLATES, Edit, Sides, apply, edits, lost, missing, override, sides, versions
from measure import ROOT
from template_peers import Copier, Cruft, Peer

sys.path.insert(0, str(ROOT / "tests" / "shared"))

from template_versions import commit, git, repo_of

from carrental_mlops.scaffold.rendering import Rendering
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.dynamic_check import run as run_under
from carrental_mlops.upgrade.override_report import report
from carrental_mlops.upgrade.plan import plan
from carrental_mlops.upgrade.run import start

PAGE = ROOT / "docs" / "reference" / "fleet-upgrade.md"
_NAME, _PACKAGE = "fraud-payments", "fraud_payments"
Kind = tuple[str, int, str]
"""Template, the version that it stands on (of `versions`), and where its CI runs."""
KINDS: tuple[Kind, ...] = tuple((t, v, ci) for t in TEMPLATES for v in (0, 1) for ci in ("gitlab", "github"))


@dataclass
class Taken:
    """What was measured of one tool."""

    seconds: list[float] = field(default_factory=list)
    clean: int = 0
    edits: int = 0
    lost: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Repos that merged clean and lack a line of the release."""
    failed: list[str] = field(default_factory=list)


class Fleet:
    """The releases, and a repo of each kind that the fleet's repos are copies of.

    Args:
        folder: everything lies there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = versions(folder / "versions")
        self.rendered: dict[Kind, Sides] = {
            kind: sides(kind[0], self.versions[kind[1]], self.newest, self.answers(kind)) for kind in KINDS
        }
        self._first = {kind: self._made(number, kind) for number, kind in enumerate(KINDS)}

    @property
    def newest(self) -> Material:
        """Where all go."""
        return self.versions[-1]

    def answers(self, kind: Kind) -> dict[str, str]:
        """To the template's questions."""
        told = {"name": _NAME, "package": _PACKAGE, "owner": "risk-ds@example.com", "tier": "1", "ci": kind[2]}
        return {name: told[name] for name in json.loads((self._questions(kind)).read_text()) if name in told}

    def repo(self, seed: int, first: Path | None = None) -> tuple[Kind, Path, list[Edit]]:
        """A repo with its team's edits, committed; `first`: of a peer."""
        kind = KINDS[seed % len(KINDS)]
        place = self.folder / "repo"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(first or self._first[kind], place, symlinks=True)
        made = edits(seed, self.rendered[kind])
        apply(place, made)
        if override(place, _PACKAGE, seed):
            made.append(Edit("elsewhere", "override", f"src/{_PACKAGE}/steps.py", said="class TeamTrain(TrainStep)"))
        if git(place, "status", "--porcelain"):
            commit(place)
        return kind, place, made

    def _made(self, number: int, kind: Kind) -> Path:
        material = self.versions[kind[1]]
        repo = repo_of(material, self.folder / "first" / str(number), kind[0], self.answers(kind))
        shutil.rmtree(repo / ".git" / "hooks", ignore_errors=True)
        return repo

    def _questions(self, kind: Kind) -> Path:
        return self.versions[kind[1]].template(kind[0]) / "cookiecutter.json"


def ours(fleet: Fleet, count: int, memory: list[float]) -> tuple[Taken, list[float], Counter[str]]:
    """Every repo upgraded; also the seconds of the override report in each, and where the edits were."""
    compiled = functools.cache(Rendering)
    taken, looked, where = Taken(), [], Counter[str]()
    for seed in range(count):
        kind, repo, made = fleet.repo(seed)
        where.update(edit.where for edit in made if edit.kind != "override")
        old = fleet.versions[kind[1]]
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
        if seed % max(count // 20, 1) == 0:
            memory.append(resident_mib())
            said = f"\r{seed + 1}/{count} {statistics.mean(taken.seconds):.2f} s a repo, {memory[-1]:.0f} MiB"
            print(said, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return taken, looked, where


def judge(taken: Taken, fleet: Fleet, case: tuple[int, Kind, Path, list[Edit]], shown: bool) -> None:
    """Look for every edit, and where no conflict is shown for every line of the release."""
    seed, kind, repo, made = case
    sides_of = unmerged(repo)
    taken.edits += len(made)
    taken.lost += [f"repo {seed}: {edit}" for edit in lost(repo, made, sides_of)]
    if shown or sides_of:
        return
    taken.clean += 1
    if missing(repo, fleet.rendered[kind][1]):
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


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _write(peer: Peer, material: Material, folder: Path) -> None:
    """Our templates as the peer wants them, a folder each.

    cruft takes them as they are. For copier every file is rendered but the requirements, the answers stand under
    `cookiecutter`, and what is no answer (`cookiecutter._…`) is written out.
    """
    for name in TEMPLATES:
        if isinstance(peer, Cruft):
            shutil.copytree(material.template(name), folder / name)
            continue
        shutil.copytree(material.template(name) / "{{cookiecutter.name}}", folder / name)
        for path in (p for p in (folder / name).rglob("*") if p.is_file()):
            path.write_text(_written_out(path.read_text(), material.template(name)))
        for path in (folder / name / "requirements").iterdir():
            path.write_text("{% raw %}" + path.read_text() + "{% endraw %}")
        (folder / name / "{{_copier_conf.answers_file}}").write_text("{{ _copier_answers|to_nice_yaml }}")
    if isinstance(peer, Copier):
        asked = "flavour:\n  type: str\ncookiecutter:\n  type: yaml\n"
        (folder / "copier.yml").write_text(f"_subdirectory: '{{{{ flavour }}}}'\n_templates_suffix: ''\n{asked}")


def _written_out(text: str, template: Path) -> str:
    private = json.loads((template / "cookiecutter.json").read_text())
    return re.sub(r"{{ *cookiecutter[.](_\w+) *}}", lambda found: str(private[found[1]]), text)


def tag(number: int) -> str:
    """Of a version in a peer's template repository."""
    return f"v1.{number}.0"


def sampled(tool: Peer, fleet: Fleet, seeds: list[int]) -> Taken:
    """The sample by one peer."""
    for number, material in enumerate(fleet.versions):
        tool.publish(functools.partial(_write, tool, material), tag(number))
    firsts: dict[Kind, Path] = {}
    taken = Taken()
    for seed in seeds:
        kind = KINDS[seed % len(KINDS)]
        if kind not in firsts:
            firsts[kind] = _first_of(tool, fleet, kind)
        kind, repo, made = fleet.repo(seed, firsts[kind])
        began = time.perf_counter()
        code = tool.update(repo, tag(2))
        taken.seconds.append(time.perf_counter() - began)
        files = (path for path in repo.rglob("*") if path.is_file() and ".git" not in path.parts)
        judge(taken, fleet, (seed, kind, repo, made), any(b"<<<<<<< " in path.read_bytes() for path in files))
        if code:
            taken.failed.append(f"repo {seed}: exit {code}")
        print(f"\r{tool.name} {len(taken.seconds)}/{len(seeds)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return taken


def _first_of(tool: Peer, fleet: Fleet, kind: Kind) -> Path:
    """A repo of that kind by the peer's own command; it must hold what ours does."""
    folder = tool.folder / f"first-{KINDS.index(kind)}"
    folder.mkdir()
    answers = fleet.answers(kind)
    if isinstance(tool, Copier):
        tool.create(folder, tag(kind[1]), {"cookiecutter": answers}, kind[0])
    else:
        tool.create(folder, tag(kind[1]), answers, kind[0])
    for path, file in fleet.rendered[kind][0].items():
        if (folder / _NAME / path).read_bytes() != file.content:
            sys.exit(f"{tool.name} renders {path} in another way")
    return tool.committed(folder / _NAME)


def dynamic(fleet: Fleet, count: int) -> tuple[list[float], Counter[str]]:
    """Repos run under the newest version: seconds of each, and what came out."""
    seconds, ends = [], Counter[str]()
    seed = 0
    while len(seconds) < count:
        _, repo, made = fleet.repo(seed)
        seed += 1
        if not any(edit.kind == "override" for edit in made):
            continue
        found = run_under(repo, fleet.newest, limit_s=120)
        seconds.append(found.seconds)
        ends["with a problem" if found.problems else "with a failure" if found.failed else "held"] += 1
        print(f"\rrun under {fleet.newest.version}: {len(seconds)}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return seconds, ends


def page(rows: Mapping[str, Taken], ours_of: str, notes: list[str]) -> Iterator[str]:
    """docs/reference/fleet-upgrade.md."""
    machine = f"{os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    yield "# A fleet upgraded"
    yield ""
    yield f"Written by `benchmarks/fleet_upgrade.py` on {datetime.date.today()} ({machine})."
    yield "Repos of two templates on two versions, made by editing ours as releases would, each with one to six seeded"
    yield "edits and overrides of hooks. Afterwards every edit is looked for: in the files, or in a conflict shown."
    yield ""
    yield (
        "| tool | repos | seconds a repo, median (max) | repos a second | merged clean "
        "| of these without the whole release | edits | edits lost |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, taken in rows.items():
        middle, worst = statistics.median(taken.seconds), max(taken.seconds)
        share = taken.clean / len(taken.seconds)
        speed = f"{middle:.2f} ({worst:.2f}) | {1 / statistics.mean(taken.seconds):.2f}"
        merged = f"{share:.0%} | {len(taken.lacking)} | {taken.edits:,} | {len(taken.lost)}"
        yield f"| {name} | {len(taken.seconds):,} | {speed} | {merged} |"
    yield ""
    for name, taken in rows.items():
        if name != ours_of:
            ratio = statistics.mean(taken.seconds) / statistics.mean(rows[ours_of].seconds)
            yield f"- {ours_of} is {ratio:.1f} times as fast as {name} (mean; to reach: 10)"
    yield from (f"- {note}" for note in notes)
    for name, taken in rows.items():
        for title, found in (("lost", taken.lost), ("failed", taken.failed)):
            if found:
                yield f"- {name}, {title}: {'; '.join(found[:12])}{' …' if len(found) > 12 else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repos", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=30, help="repos for each peer; 0 leaves them out")
    parser.add_argument("--dynamic", type=int, default=30, help="repos that are run under the new version")
    parser.add_argument("--write", action="store_true", help="write the page; else it is printed")
    asked = parser.parse_args()
    memory: list[float] = []
    with tempfile.TemporaryDirectory(prefix="crm-fleet-") as place:
        fleet = Fleet(Path(place))
        load = os.getloadavg()[0]
        began = time.perf_counter()
        mine, looked, where = ours(fleet, asked.repos, memory)
        wall_s = time.perf_counter() - began
        rows = {"`crm upgrade`": mine}
        notes = _notes(mine, looked, where, memory)
        notes.append(f"all of it, making and checking the repos included, took {wall_s:.0f} s; load before {load:.1f}")
        seeds = list(range(asked.sample))
        for make in (Cruft, Copier) if seeds else ():
            tool = make(fleet.folder / make.name)
            rows[f"`{tool.name} update` {tool.version}"] = sampled(tool, fleet, seeds)
        if asked.dynamic:
            seconds, ends = dynamic(fleet, asked.dynamic)
            told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
            notes.append(
                f"the dynamic check of {len(seconds)} repos with overrides: {statistics.median(seconds):.1f} s a repo "
                f"(max {max(seconds):.1f}); {told}"
            )
        text = "\n".join(page(rows, "`crm upgrade`", notes)) + "\n"
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def _notes(mine: Taken, looked: list[float], where: Counter[str], memory: list[float]) -> list[str]:
    total = sum(where.values())
    return [
        "where the edits are: " + ", ".join(f"{place} {count / total:.0%}" for place, count in sorted(where.items())),
        f"of ours, the static override report takes {statistics.median(looked):.2f} s a repo, merge and commit "
        f"{statistics.median(mine.seconds) - statistics.median(looked):.2f} s",
        f"memory after 5 %, 50 % and all of the repos: {memory[1]:.0f}, {memory[len(memory) // 2]:.0f}, "
        f"{memory[-1]:.0f} MiB",
    ]


if __name__ == "__main__":
    main()
