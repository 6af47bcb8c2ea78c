"""The torture table of upgrades run by `crm upgrade`, `cruft update` and `copier update`: docs/reference/torture.md.

    python benchmarks/upgrade_torture.py [--tools ours cruft copier]

Each peer gets what it needs: an environment of its own, its template as a local git repository with a tag a version,
its own record of the template in a repo that its own command made, the flags that keep it from asking, and for cruft
`_copy_without_render` for what is no UTF-8. Its record files do not count; a conflict is shown however it shows it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import ROOT
from template_peers import Copier, Cruft, Peer

sys.path.insert(0, str(ROOT / "tests" / "shared"))

from torture_notation import Files, over, put, read
from torture_running import Ours, unmerged
from torture_table import BASE, CASES, CHANGES, CONFLICT, EDITS, REFUSED, TABLE, edit_of
from torture_verdict import MEANINGS, VERDICTS, Result, Verdict, verdict

from carrental_mlops import __version__

PAGE = ROOT / "docs" / "reference" / "torture.md"
_HEAD = "| the template | the team | must be | "
TOOLS = ["ours", "cruft", "copier"]
Found = dict[str, dict[tuple[str, str], str]]
"""Column of the page to the verdict of each case."""


class Table:
    """The template's versions at a peer, and the repo that each case is a copy of."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._repo, first = peer.folder / "repo", peer.folder / "first"
        self._tags = {change: f"v1.{number}.0" for number, change in enumerate(CHANGES, 1)}
        peer.publish(lambda folder: _write(peer, folder, BASE), "v1.0.0")
        for change, tag in self._tags.items():
            peer.publish(lambda folder, change=change: _write(peer, folder, over(BASE, CHANGES[change])), tag)
        peer.create(peer.folder, "v1.0.0", {"name": "first"})
        self._first = peer.committed(first)

    def run(self, change: str, edit: str) -> Verdict:
        """One case."""
        repo = self._repo
        shutil.rmtree(repo, ignore_errors=True)
        shutil.copytree(self._first, repo, symlinks=True)
        put(repo, edit_of(edit))
        if edit in EDITS:
            self.peer.commit(repo)
        before = read(repo, (self.peer.record,))
        code = self.peer.update(repo, self._tags[change])
        after = read(repo, (self.peer.record,))
        staged = unmerged(repo)
        rejects = any(path.endswith((".rej", ".orig")) for path in after)
        marked = any(b"<<<<<<< " in content for _, content in after.values())
        return verdict(change, edit, Result(before, after, bool(staged) or rejects or marked, staged, code != 0))


def _write(peer: Peer, folder: Path, files: Files) -> None:
    """A version of the template as the peer wants it."""
    if isinstance(peer, Cruft):
        (folder / "cookiecutter.json").write_text('{"name": "first", "_copy_without_render": ["latin.txt"]}\n')
        put(folder / "{{cookiecutter.name}}", files)
        return
    (folder / "copier.yml").write_text("_subdirectory: files\nname:\n  type: str\n  default: first\n")
    put(folder / "files", files)
    (folder / "files" / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers|to_nice_yaml }}")


def measured(tool: Callable[[str, str], Verdict]) -> dict[tuple[str, str], str]:
    """Every case by one tool."""
    found: dict[tuple[str, str], str] = {}
    for number, (change, edit) in enumerate(CASES, 1):
        found[change, edit] = tool(change, edit)
        print(f"\r{number}/{len(CASES)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def page(found: Found) -> Iterator[str]:
    """docs/reference/torture.md."""
    columns = " | ".join(found)
    yield "# Torture table of upgrades"
    yield ""
    yield f"Written by `benchmarks/upgrade_torture.py`: {len(CASES)} pairs of a team's edit and a template's change,"
    yield "each in a repo of its own. `tests/shared/torture_table.py` says what every file must hold afterwards, and"
    yield "`tests/unit/upgrade_torture/` holds `crm upgrade` to it. It is our table: where tools may differ in good"
    yield "faith (a file twice, a question too many) nothing counts as lost."
    yield ""
    yield f"| what became of it | {columns} |"
    yield f"|---|{'---|' * len(found)}"
    counts = {tool: Counter(cases.values()) for tool, cases in found.items()}
    for one in VERDICTS:
        yield f"| **{one}**: {MEANINGS[one]} | {' | '.join(str(counts[tool][one]) for tool in found)} |"
    yield ""
    yield "`edit lost` and `edit undone` are what a team loses without being told. cruft leaves out on purpose what a"
    yield "team deleted, and so what it renamed or moved: that is most of its `change lost`."
    yield ""
    yield "## Every case"
    yield ""
    yield f"{_HEAD}{columns} |"
    yield f"|---|---|---|{'---|' * len(found)}"
    for case in CASES:
        expected = TABLE[case[0]][case[1]]
        must = expected if expected in (CONFLICT, REFUSED) else "merged"
        told = " | ".join(cases.get(case, "not run") for cases in found.values())
        yield f"| {case[0]} | {case[1]} | {must} | {told} |"


def kept() -> Found:
    """What the page holds of earlier runs."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    at = next((number for number, line in enumerate(lines) if line.startswith(_HEAD)), len(lines))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[at:]]
    return {
        tool: {(row[0], row[1]): row[column] for row in rows[2:] if (row[0], row[1]) in CASES}
        for column, tool in enumerate(rows[0] if rows else ())
        if column > 2
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS, help="the page keeps what it has of others")
    asked = parser.parse_args()
    found = kept()
    with tempfile.TemporaryDirectory(prefix="crm-torture-") as folder:
        for name in asked.tools:
            print(name, file=sys.stderr)
            place = Path(folder) / f"run-{name}"
            place.mkdir()
            tool = Ours(place) if name == "ours" else Table({"cruft": Cruft, "copier": Copier}[name](place))
            cases = measured(tool.run)
            said = f"`crm upgrade` {__version__}" if isinstance(tool, Ours) else f"`{name} update` {tool.peer.version}"
            machine = f"{os.cpu_count()} cores {platform.machine()}, load {os.getloadavg()[0]:.1f}"
            found = {tool: told for tool, told in found.items() if said.split()[0] not in tool}
            found[f"{said} ({datetime.date.today()}, {machine})"] = cases
            order = sorted(found, key=lambda column: ["`crm", "`cruft", "`copier"].index(column.split()[0]))
            PAGE.write_text("\n".join(page({column: found[column] for column in order})) + "\n", encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
