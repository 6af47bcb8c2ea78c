"""A folder as data: path to a short text that says what lies there, one word a line of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str | None]
"""Path to what lies there in this notation; None for nothing.

`a1..a3 ours4` is a text of four lines, each about its word; `\\` at the end: no final newline. Before the words:
`+x` executable, `crlf` with these line ends, `latin` with a byte in each line that is no UTF-8, `raw` the rest as one
line, `bytes` binary; `-> b` is a link to `b`.
"""
_RANGE = re.compile(r"([a-z]+)(\d+)\.\.\1(\d+)")


def words(said: str) -> list[str]:
    """The words of a text, ranges written out; none for what is no text."""
    said = said.removeprefix("+x ").removeprefix("crlf ").removeprefix("latin ").removesuffix("\\")
    if said.startswith(("raw ", "-> ")):
        return []
    found: list[str] = []
    for word in said.removeprefix("bytes ").split():
        many = _RANGE.fullmatch(word)
        numbers = range(int(many[2]), int(many[3]) + 1) if many else ()
        found += [f"{many[1]}{n}" for n in numbers] if many else [word]
    return found


def content(said: str) -> bytes:
    """The bytes of a file."""
    said = said.removeprefix("+x ")
    if said.startswith("raw "):
        return said.removeprefix("raw ").encode() + b"\n"
    if said.startswith("bytes "):
        return b"\0" + b"\0".join(word.encode() for word in words(said)) + b"\0\xff"
    end = b"\r\n" if said.startswith("crlf ") else b"\n"
    tail = b"\xe9" if said.startswith("latin ") else b""
    text = b"".join(b"%s: all about %s%s%s" % (w.encode(), w.encode(), tail, end) for w in words(said))
    return text.removesuffix(end) if said.endswith("\\") else text


def put(root: Path, files: Files) -> None:
    """Bring a folder to these files; what is not named stays."""
    for path, said in files.items():
        if said is None and (root / path).exists():
            (root / path).unlink()
            for folder in (root / path).parents:
                if folder == root or any(folder.iterdir()):
                    break
                folder.rmdir()
    for path, said in files.items():
        if said is not None:
            _put(root / path, said)


def _put(place: Path, said: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if said.startswith("-> "):
        place.symlink_to(said.removeprefix("-> "))
        return
    place.write_bytes(content(said))
    place.chmod(0o755 if said.startswith("+x ") else 0o644)


def over(base: Files, *layers: Files) -> dict[str, str]:
    """`base` with what the layers say instead."""
    whole = dict(base)
    for layer in layers:
        whole |= layer
    return {path: said for path, said in whole.items() if said is not None}


State = Mapping[str, tuple[str, bytes]]
"""Path to kind (`file`, `executable`, `link`) and content."""


def state_of(files: Mapping[str, str]) -> dict[str, tuple[str, bytes]]:
    """What a folder of these files holds."""
    return {
        path: ("link", said.removeprefix("-> ").encode())
        if said.startswith("-> ")
        else ("executable" if said.startswith("+x ") else "file", content(said))
        for path, said in files.items()
    }


def read(root: Path, without: tuple[str, ...] = ()) -> dict[str, tuple[str, bytes]]:
    """What a folder holds, without `.git` and the files named."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(".git/") or name in without or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()).encode())
        else:
            found[name] = ("executable" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return found
