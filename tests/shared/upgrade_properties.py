"""Random changes of a template against random edits of a team, and what must hold whatever they are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from template_versions import commit, git, repo_of, snapshot, version

from carrental_mlops.upgrade.phases import abort, start
from carrental_mlops.upgrade.plan import plan

FILES = ("Makefile", "conf/a.yaml", "conf/b.yaml", "src/x.py")
_LENGTH = 12
Kind = st.sampled_from(
    ["change", "insert", "remove", "append", "rename", "move folder", "delete", "add", "executable", "crlf", "chop"]
)


@dataclass(frozen=True)
class Op:
    """One edit: what, of which file, at which line."""

    kind: str
    file: int
    line: int


Ops = st.lists(st.builds(Op, Kind, st.integers(0, len(FILES) - 1), st.integers(0, _LENGTH - 1)), min_size=1, max_size=5)


@dataclass
class Tree:
    """Files under edit, and what was said in them."""

    who: str
    files: dict[str, list[str]]
    modes: set[str]
    said: set[str]
    removed: set[str]
    gone: set[str]
    """Original names of files that were deleted."""
    names: dict[str, str]
    """Original name to the name now."""


def original(who: str) -> Tree:
    files = {name: ["# Managed by crm.\n", *(f"{name} line {n}\n" for n in range(_LENGTH))] for name in FILES}
    return Tree(who, files, set(), set(), set(), set(), {name: name for name in FILES})


def edited(who: str, ops: list[Op]) -> Tree:
    tree = original(who)
    for number, op in enumerate(ops):
        first = FILES[op.file]
        name = tree.names.get(first)
        said = f"{who} {number}\n"
        if op.kind == "add":
            path = f"conf/{who}-{number}.txt"
            tree.files[path] = [said]
            tree.said.add(said)
        elif name is None:
            continue
        elif op.kind == "delete":
            del tree.files[name], tree.names[first]
            tree.gone.add(first)
        elif op.kind == "rename":
            _move(tree, first, f"{name}.{who}{number}")
        elif op.kind == "move folder":
            for other in [o for o, n in tree.names.items() if n.startswith("conf/")]:
                _move(tree, other, tree.names[other].replace("conf/", f"moved-{who}/", 1))
        elif op.kind == "executable":
            tree.modes.add(first)
        else:
            _lines(tree, name, op, said)
    tree.said = {said for said in tree.said if any(said.strip() in "".join(lines) for lines in tree.files.values())}
    return tree


def _move(tree: Tree, first: str, to: str) -> None:
    tree.files[to] = tree.files.pop(tree.names[first])
    tree.names[first] = to


def _lines(tree: Tree, name: str, op: Op, said: str) -> None:
    lines = tree.files[name]
    at = min(op.line + 1, len(lines) - 1)
    if op.kind == "crlf":
        tree.files[name] = [line.rstrip("\r\n") + "\r\n" for line in lines]
    elif op.kind == "chop":
        lines[-1] = lines[-1].rstrip("\n")
    elif op.kind == "append":
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(said)
        tree.said.add(said)
    elif op.kind == "insert":
        lines.insert(at, said)
        tree.said.add(said)
    elif at >= 0 and lines:
        old = lines[at]
        if op.kind == "remove":
            del lines[at]
        else:
            lines[at] = said
            tree.said.add(said)
        if " line " in old:
            tree.removed.add(old.strip())


def written(tree: Tree) -> dict[str, str]:
    modes = {tree.names[first] for first in tree.modes if first in tree.names}
    return {("!" if name in modes else "") + name: "".join(lines) for name, lines in tree.files.items()}


def hold(folder: Path, ops: list[Op], edits: list[Op]) -> str:
    """Upgrade a repo with these edits over these changes; every edit is held, or a conflict shown.

    Returns:
        `clean` or `conflict`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    theirs, ours = edited("theirs", ops), edited("ours", edits)
    old, new = version(folder, "1.0.0", written(original(""))), version(folder, "1.1.0", written(theirs))
    repo = repo_of(old, folder / "repo")
    _bring(repo, ours)
    if git(repo, "status", "--porcelain"):
        commit(repo)
    before = snapshot(repo)
    done = start(plan(repo, old, new))
    after = snapshot(repo)
    text = b"".join(content for _, content in after.values())
    for said in ours.said:
        assert said.strip().encode() in text, f"lost: {said}"
    in_index = text + b"".join(
        git(repo, "cat-file", "blob", line.split()[1]).encode() for line in git(repo, "ls-files", "-u").splitlines()
    )
    for said in theirs.said:
        assert said.strip().encode() in in_index, f"change of the template lost: {said}"
    if done.conflicts:
        assert done.unmerged and not done.commit
        abort(repo)
        assert snapshot(repo) == before
        return "conflict"
    assert git(repo, "status", "--porcelain") == "" and done.ledger == ()
    held = [line.strip() for _, content in after.values() for line in content.decode().splitlines()]
    for line in ours.removed | theirs.removed:
        assert line not in held, f"came back: {line}"
    for first, name in ours.names.items():
        if name != first and first not in theirs.gone:
            assert first not in after, f"the rename of {first} was undone"
        if first in ours.modes and first not in theirs.gone:
            assert any(mode.endswith("755") for path, (mode, _) in after.items() if path != "index"), first
    return "clean"


def _bring(repo: Path, tree: Tree) -> None:
    for name in FILES:
        (repo / name).unlink()
    for path, text in written(tree).items():
        place = repo / path.removeprefix("!")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode())
        place.chmod(0o755 if path.startswith("!") else 0o644)
