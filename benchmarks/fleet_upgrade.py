"""A fleet of generated repos upgraded: by `crm fleet upgrade` and `crm upgrade`, by `cruft update` and `copier update`.

    python benchmarks/fleet_upgrade.py [--repos 1000] [--sample 30] [--dynamic 30]

Ours run in one process with each version's templates compiled once, the static override report before every merge, and
one repo at a time. The peers run as a team runs them, one command a repo, on a sample, on repos that their own command
made of the same files. Every seeded edit is looked for afterwards. Writes docs/reference/fleet-upgrade.md.
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
from pathlib import Path

from fleet_measured import KINDS, NAME, Fleet, Kind, Memory, Taken, campaigns, judge, ours
from fleet_repos import TEMPLATES, Edit
from measure import ROOT
from template_peers import Copier, Cruft, Peer

from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.dynamic_check import run as run_under

PAGE = ROOT / "docs" / "reference" / "fleet-upgrade.md"


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
    taken, repo = Taken(), fleet.folder / "repo"
    for seed in seeds:
        kind = KINDS[seed % len(KINDS)]
        if kind not in firsts:
            firsts[kind] = _first_of(tool, fleet, kind)
        _, made = fleet.repo(seed, repo, firsts[kind])
        with taken.timed():
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
        if (folder / NAME / path).read_bytes() != file.content:
            sys.exit(f"{tool.name} renders {path} in another way")
    return tool.committed(folder / NAME)


def dynamic(fleet: Fleet, count: int) -> tuple[list[float], Counter[str]]:
    """Repos run under the newest version: seconds of each, and what came out."""
    seconds, ends = [], Counter[str]()
    seed = 0
    while len(seconds) < count:
        repo = fleet.folder / "repo"
        _, made = fleet.repo(seed, repo)
        seed += 1
        if not any(edit.kind == "override" for edit in made):
            continue
        found = run_under(repo, fleet.newest, limit_s=120)
        seconds.append(found.seconds)
        ends["with a problem" if found.problems else "with a failure" if found.failed else "held"] += 1
        print(f"\rrun under {fleet.newest.version}: {len(seconds)}/{count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return seconds, ends


def page(rows: Mapping[str, Taken], notes: list[str]) -> Iterator[str]:
    """docs/reference/fleet-upgrade.md; the first two rows are ours."""
    machine = f"{os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    yield "# A fleet upgraded"
    yield ""
    yield f"Written by `benchmarks/fleet_upgrade.py` on {datetime.date.today()} ({machine})."
    yield "Repos of two templates on two versions, made by editing ours as releases would, each with one to six seeded"
    yield "edits and overrides of hooks. Afterwards every edit is looked for: in the files, or in a conflict shown; on"
    yield "a campaign's branch in the files alone, as it holds no conflict. Each tool works on one repo at a time, so a"
    yield "ratio is that of one core; `crm fleet upgrade --jobs N` works on N repos at a time."
    yield ""
    yield (
        "| tool | repos | seconds a repo, median (max) | CPU s a repo | repos a second | merged clean "
        "| of these without the whole release | edits | edits lost |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, taken in rows.items():
        middle, worst, count = statistics.median(taken.seconds), max(taken.seconds), len(taken.seconds)
        speed = f"{middle:.3f} ({worst:.2f}) | {taken.cpu_s / count:.3f} | {1 / statistics.mean(taken.seconds):.2f}"
        merged = f"{taken.clean / count:.0%} | {len(taken.lacking)} | {taken.edits:,} | {len(taken.lost)}"
        yield f"| {name} | {count:,} | {speed} | {merged} |"
    yield ""
    names = list(rows)
    yield from (f"- {_ratio(rows, mine, peer)}" for mine in names[:2] for peer in names[2:])
    yield from (f"- {note}" for note in notes)
    for name, taken in rows.items():
        for title, found in (("lost", taken.lost), ("failed", taken.failed)):
            if found:
                yield f"- {name}, {title}: {'; '.join(found[:12])}{' …' if len(found) > 12 else ''}"


def _ratio(rows: Mapping[str, Taken], mine: str, peer: str) -> str:
    wall = statistics.mean(rows[peer].seconds) / statistics.mean(rows[mine].seconds)
    cpu = rows[peer].cpu_s / len(rows[peer].seconds) / (rows[mine].cpu_s / len(rows[mine].seconds))
    return f"{mine} is {wall:.1f} times as fast as {peer} (mean; to reach: 10), with {cpu:.1f} times less CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repos", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=30, help="repos for each peer; 0 leaves them out")
    parser.add_argument("--dynamic", type=int, default=30, help="repos that are run under the new version")
    parser.add_argument("--write", action="store_true", help="write the page; else it is printed")
    asked = parser.parse_args()
    memories = Memory(), Memory()
    with tempfile.TemporaryDirectory(prefix="crm-fleet-") as place:
        fleet = Fleet(Path(place))
        load = os.getloadavg()[0]
        began = time.perf_counter()
        rows = {"`crm fleet upgrade`": campaigns(fleet, asked.repos, memories[0])}
        mine, looked, every = ours(fleet, asked.repos, memories[1])
        wall_s = time.perf_counter() - began
        rows["`crm upgrade`"] = mine
        notes = _notes(mine, looked, every, memories)
        notes.append(
            f"all of ours, making and checking the repos included, took {wall_s:.0f} s; load before {load:.1f}"
        )
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
        text = "\n".join(page(rows, notes)) + "\n"
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def _notes(mine: Taken, looked: list[float], every: list[Edit], memories: tuple[Memory, Memory]) -> list[str]:
    where = Counter(edit.where for edit in every if edit.kind != "override")
    total = sum(where.values())
    return [
        "where the edits are: " + ", ".join(f"{place} {count / total:.0%}" for place, count in sorted(where.items())),
        f"of `crm upgrade`, the static override report takes {statistics.median(looked):.3f} s a repo, merge and "
        f"commit {statistics.median(mine.seconds) - statistics.median(looked):.3f} s",
        f"memory of `crm fleet upgrade`: {memories[0]}",
        f"memory of `crm upgrade`, in the same process after it: {memories[1]}",
    ]


if __name__ == "__main__":
    main()
