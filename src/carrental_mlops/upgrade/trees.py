"""Two rendered versions beside a repo's HEAD, as commits in its object store that no branch names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.rendering import Rendered

_REF = "refs/crm/{}"
_NOBODY = "crm <crm@localhost> 0 +0000"


@dataclass(frozen=True)
class Sides:
    """Three commits: `ours` and `theirs` have `base` as their parent."""

    base: str
    ours: str
    theirs: str


def commit_sides(git: Git, base: Mapping[str, Rendered], theirs: Mapping[str, Rendered], tree: str) -> Sides:
    """Write both versions, and the repo's tree on top of the old one; leaves no ref.

    Args:
        git: the repository.
        base: path to file as the old version rendered it.
        theirs: as the new version renders it.
        tree: of HEAD, as an object name.

    Raises:
        TemplateError: git cannot write (a full disk).
    """
    told = b"".join(_stream(base, theirs, tree, "0" * len(tree)))
    done = git.run("fast-import", "--quiet", "--done", stdin=told)
    names = done.stdout.decode().split()
    if done.returncode or len(names) != 3:
        why = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise TemplateError(
            f"git cannot store the templates in {git.root}: {' '.join(why)}",
            "free some space, or mend what git says; nothing has been changed",
        )
    return Sides(*names)


def _stream(base: Mapping[str, Rendered], theirs: Mapping[str, Rendered], tree: str, nothing: str) -> Iterator[bytes]:
    marks: dict[bytes, int] = {}
    for file in (*base.values(), *theirs.values()):
        if file.content not in marks:
            marks[file.content] = len(marks) + 10
            yield b"blob\nmark :%d\ndata %d\n%s\n" % (marks[file.content], len(file.content), file.content)
    for mark, side, files in ((1, "base", base), (3, "theirs", theirs)):
        yield _commit(mark, side, None if mark == 1 else 1)
        yield b"deleteall\n"
        for path, file in files.items():
            mode = b"100755" if file.executable else b"100644"
            yield b"M %s :%d %s\n" % (mode, marks[file.content], _quoted(path))
    yield _commit(2, "ours", 1)
    yield b'M 040000 %s ""\n' % tree.encode()
    for mark in (1, 2, 3):
        yield b"get-mark :%d\n" % mark
    for side in ("base", "theirs", "ours"):
        yield b"reset %s\nfrom %s\n\n" % (_REF.format(side).encode(), nothing.encode())
    yield b"done\n"


def _commit(mark: int, side: str, parent: int | None) -> bytes:
    head = f"commit {_REF.format(side)}\nmark :{mark}\ncommitter {_NOBODY}\ndata {len(side)}\n{side}\n"
    return (head + (f"from :{parent}\n" if parent else "")).encode()


def _quoted(path: str) -> bytes:
    raw = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
