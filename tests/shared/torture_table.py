# ruff: noqa: E501 - a case a line
"""The torture table of upgrades: a kind of edit by a team against a kind of change of the template, and what must come out.

Files are written as in `torture_notation.py`. Each layer (edit, change, result) says only what differs from `BASE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torture_notation import Files

CONFLICT: Final = "conflict"
"""It must be shown, nothing be committed, and both texts be at hand."""
REFUSED: Final = "refused"
"""Nothing may be changed: what would be lost is not in git."""

BASE: Files = {
    ".gitignore": "raw local/",
    "conf/a.yaml": "a1..a12",
    "conf/b.yaml": "b1..b12",
    "src/x.py": "x1..x12",
    "logo.bin": "bytes v1",
    "win.txt": "crlf w1..w12",
    "latin.txt": "latin l1..l12",
    "end.txt": "e1..e12 \\",
}
"""The old version, and the repo made from it."""

_A, _B, _C, _MINE, _NEW = "conf/a.yaml", "conf/b.yaml", "conf/c.yaml", "conf/mine.yaml", "conf/new.yaml"

EDITS: Mapping[str, Files] = {
    "far line": {_A: "a1..a9 ours10 a11..a12"},
    "line beside": {_A: "a1..a3 ours4 a5..a12"},
    "line 3": {_A: "a1..a2 ours3 a4..a12"},
    "line 3 alike": {_A: "a1..a2 theirs3 a4..a12"},
    "line at the top": {_A: "ours0 a1..a12"},
    "line at the end": {_A: "a1..a12 ours13"},
    "far line removed": {_A: "a1..a9 a11..a12"},
    "block moved": {_A: "a1..a4 a9..a12 a5..a8"},
    "written anew": {_A: "ours1..ours12"},
    "renamed": {_A: None, _MINE: "a1..a12"},
    "renamed, far line": {_A: None, _MINE: "a1..a9 ours10 a11..a12"},
    "to another folder": {_A: None, "src/a.yaml": "a1..a12"},
    "folder renamed": {_A: None, _B: None, "settings/a.yaml": "a1..a12", "settings/b.yaml": "b1..b12"},
    "deleted": {_A: None},
    "folder deleted": {_A: None, _B: None},
    "executable": {_A: "+x a1..a12"},
    "CRLF": {_A: "crlf a1..a12"},
    "end chopped": {_A: "a1..a12 \\"},
    "link instead": {_A: "-> b.yaml"},
    "folder instead": {_A: None, f"{_A}/inner": "ours1..ours3"},
    "binary instead": {_A: "bytes ours1"},
    "split in two": {_A: "a1..a7", "conf/rest.yaml": "a8..a12 ours13"},
    "swapped with b": {_A: "b1..b12", _B: "a1..a12"},
    "copy edited": {"conf/copy.yaml": "a1..a9 ours10 a11..a12"},
    "file added": {"conf/own.yaml": "ours1..ours5"},
    "new added": {_NEW: "ours1..ours5"},
    "new added alike": {_NEW: "theirs1..theirs5"},
    "binary edited": {"logo.bin": "bytes ours2"},
    "CRLF file edited": {"win.txt": "crlf w1..w9 ours10 w11..w12"},
    "latin-1 file edited": {"latin.txt": "latin l1..l9 ours10 l11..l12"},
    "chopped file edited": {"end.txt": "e1..e9 ours10 e11..e12 \\"},
}
"""What a team committed since."""

LOOSE: Mapping[str, Files] = {
    "untracked new": {_NEW: "ours1..ours5"},
    "ignored new": {"local/new.yaml": "ours1..ours5"},
    "untracked notes": {"notes.txt": "ours1..ours5"},
    "ignored notes": {"local/notes.txt": "ours1..ours5"},
    "uncommitted line 3": {_A: "a1..a2 ours3 a4..a12"},
    "uncommitted far line": {_A: "a1..a9 ours10 a11..a12"},
}
"""What a team has in its work tree and git does not hold."""

CHANGES: Mapping[str, Files] = {
    "line 3": {_A: "a1..a2 theirs3 a4..a12"},
    "line 3 removed": {_A: "a1..a2 a4..a12"},
    "line at the end": {_A: "a1..a12 theirs13"},
    "written anew": {_A: "theirs1..theirs12"},
    "renamed": {_A: None, _C: "a1..a12"},
    "renamed, line 3": {_A: None, _C: "a1..a2 theirs3 a4..a12"},
    "folder renamed": {_A: None, _B: None, "config/a.yaml": "a1..a12", "config/b.yaml": "b1..b12"},
    "deleted": {_A: None},
    "folder deleted": {_A: None, _B: None},
    "executable": {_A: "+x a1..a12"},
    "CRLF": {_A: "crlf a1..a12"},
    "end chopped": {_A: "a1..a12 \\"},
    "folder instead": {_A: None, f"{_A}/part": "theirs1..theirs5"},
    "new added": {_NEW: "theirs1..theirs5"},
    "ignored added": {"local/new.yaml": "theirs1..theirs5"},
    "binary": {"logo.bin": "bytes theirs2"},
    "CRLF file": {"win.txt": "crlf w1..w2 theirs3 w4..w12"},
    "latin-1 file": {"latin.txt": "latin l1..l2 theirs3 l4..l12"},
    "chopped file": {"end.txt": "e1..e2 theirs3 e4..e12 \\"},
}
"""What the new version has instead."""

TABLE: Mapping[str, Mapping[str, Files | str]] = {
    "line 3": {
        "far line": {_A: "a1..a2 theirs3 a4..a9 ours10 a11..a12"},
        "line beside": CONFLICT,
        "line 3": CONFLICT,
        "line 3 alike": {_A: "a1..a2 theirs3 a4..a12"},
        "line at the top": {_A: "ours0 a1..a2 theirs3 a4..a12"},
        "line at the end": {_A: "a1..a2 theirs3 a4..a12 ours13"},
        "far line removed": {_A: "a1..a2 theirs3 a4..a9 a11..a12"},
        "block moved": {_A: "a1..a2 theirs3 a4 a9..a12 a5..a8"},
        "written anew": CONFLICT,
        "renamed": {_A: None, _MINE: "a1..a2 theirs3 a4..a12"},
        "renamed, far line": {_A: None, _MINE: "a1..a2 theirs3 a4..a9 ours10 a11..a12"},
        "to another folder": {_A: None, "src/a.yaml": "a1..a2 theirs3 a4..a12"},
        "folder renamed": {
            _A: None,
            _B: None,
            "settings/a.yaml": "a1..a2 theirs3 a4..a12",
            "settings/b.yaml": "b1..b12",
        },
        "deleted": CONFLICT,
        "folder deleted": CONFLICT,
        "executable": {_A: "+x a1..a2 theirs3 a4..a12"},
        "CRLF": CONFLICT,
        "end chopped": {_A: "a1..a2 theirs3 a4..a12 \\"},
        "link instead": CONFLICT,
        "folder instead": CONFLICT,
        "binary instead": CONFLICT,
        "split in two": {_A: "a1..a2 theirs3 a4..a7", "conf/rest.yaml": "a8..a12 ours13"},
        "swapped with b": CONFLICT,
        "copy edited": {_A: "a1..a2 theirs3 a4..a12", "conf/copy.yaml": "a1..a9 ours10 a11..a12"},
        "file added": {_A: "a1..a2 theirs3 a4..a12", "conf/own.yaml": "ours1..ours5"},
        "untracked notes": {_A: "a1..a2 theirs3 a4..a12", "notes.txt": "ours1..ours5"},
        "ignored notes": {_A: "a1..a2 theirs3 a4..a12", "local/notes.txt": "ours1..ours5"},
        "uncommitted line 3": REFUSED,
        "uncommitted far line": REFUSED,
    },
    "line 3 removed": {
        "line 3": CONFLICT,
        "line beside": CONFLICT,
        "renamed": {_A: None, _MINE: "a1..a2 a4..a12"},
        "end chopped": {_A: "a1..a2 a4..a12 \\"},
    },
    "line at the end": {
        "line at the end": CONFLICT,
        "far line": {_A: "a1..a9 ours10 a11..a12 theirs13"},
        "block moved": CONFLICT,
        "renamed, far line": {_A: None, _MINE: "a1..a9 ours10 a11..a12 theirs13"},
        "end chopped": CONFLICT,
        "CRLF": CONFLICT,
        "folder renamed": {_A: None, _B: None, "settings/a.yaml": "a1..a12 theirs13", "settings/b.yaml": "b1..b12"},
        "split in two": CONFLICT,
    },
    "written anew": {
        "far line": CONFLICT,
        "written anew": CONFLICT,
        "renamed": {_A: None, _MINE: "theirs1..theirs12"},
        "deleted": CONFLICT,
        "executable": {_A: "+x theirs1..theirs12"},
        "binary instead": CONFLICT,
    },
    "renamed": {
        "far line": {_A: None, _C: "a1..a9 ours10 a11..a12"},
        "line 3": {_A: None, _C: "a1..a2 ours3 a4..a12"},
        "written anew": {_A: None, _C: "ours1..ours12"},
        "renamed": CONFLICT,
        "to another folder": CONFLICT,
        "folder renamed": CONFLICT,
        "deleted": CONFLICT,
        "executable": {_A: None, _C: "+x a1..a12"},
        "CRLF": {_A: None, _C: "crlf a1..a12"},
        "end chopped": {_A: None, _C: "a1..a12 \\"},
        "link instead": CONFLICT,
        "folder instead": CONFLICT,
        "binary instead": {_A: None, _C: "bytes ours1"},
        "split in two": {_A: None, _C: "a1..a7", "conf/rest.yaml": "a8..a12 ours13"},
        "swapped with b": {_A: None, _B: "a1..a12", _C: "b1..b12"},
        "copy edited": {_A: None, _C: "a1..a12", "conf/copy.yaml": "a1..a9 ours10 a11..a12"},
    },
    "renamed, line 3": {
        "far line": {_A: None, _C: "a1..a2 theirs3 a4..a9 ours10 a11..a12"},
        "line 3": CONFLICT,
        "line 3 alike": {_A: None, _C: "a1..a2 theirs3 a4..a12"},
        "renamed": CONFLICT,
        "deleted": CONFLICT,
        "executable": {_A: None, _C: "+x a1..a2 theirs3 a4..a12"},
        "CRLF": CONFLICT,
        "link instead": CONFLICT,
        "split in two": {_A: None, _C: "a1..a2 theirs3 a4..a7", "conf/rest.yaml": "a8..a12 ours13"},
    },
    "folder renamed": {
        "far line": {_A: None, _B: None, "config/a.yaml": "a1..a9 ours10 a11..a12", "config/b.yaml": "b1..b12"},
        "written anew": {_A: None, _B: None, "config/a.yaml": "ours1..ours12", "config/b.yaml": "b1..b12"},
        "renamed": CONFLICT,
        "to another folder": CONFLICT,
        "folder renamed": CONFLICT,
        "deleted": CONFLICT,
        "file added": {
            _A: None,
            _B: None,
            "config/a.yaml": "a1..a12",
            "config/b.yaml": "b1..b12",
            "config/own.yaml": "ours1..ours5",
        },
        "new added": {
            _A: None,
            _B: None,
            "config/a.yaml": "a1..a12",
            "config/b.yaml": "b1..b12",
            "config/new.yaml": "ours1..ours5",
        },
        "copy edited": {
            _A: None,
            _B: None,
            "config/a.yaml": "a1..a12",
            "config/b.yaml": "b1..b12",
            "config/copy.yaml": "a1..a9 ours10 a11..a12",
        },
        "executable": {_A: None, _B: None, "config/a.yaml": "+x a1..a12", "config/b.yaml": "b1..b12"},
        "link instead": CONFLICT,
        "swapped with b": {_A: None, _B: None, "config/a.yaml": "b1..b12", "config/b.yaml": "a1..a12"},
    },
    "deleted": {
        "far line": CONFLICT,
        "far line removed": CONFLICT,
        "renamed": CONFLICT,
        "renamed, far line": CONFLICT,
        "deleted": {_A: None},
        "executable": CONFLICT,
        "CRLF": CONFLICT,
        "link instead": CONFLICT,
        "folder instead": {_A: None, "conf/a.yaml/inner": "ours1..ours3"},
        "binary instead": CONFLICT,
        "copy edited": {_A: None, "conf/copy.yaml": "a1..a9 ours10 a11..a12"},
        "swapped with b": CONFLICT,
    },
    "folder deleted": {
        "far line": CONFLICT,
        "renamed": CONFLICT,
        "folder renamed": CONFLICT,
        "file added": {_A: None, _B: None, "conf/own.yaml": "ours1..ours5"},
        "deleted": {_A: None, _B: None},
    },
    "executable": {
        "line 3": {_A: "+x a1..a2 ours3 a4..a12"},
        "written anew": {_A: "+x ours1..ours12"},
        "renamed": {_A: None, _MINE: "+x a1..a12"},
        "deleted": CONFLICT,
        "executable": {_A: "+x a1..a12"},
        "CRLF": {_A: "+x crlf a1..a12"},
        "link instead": CONFLICT,
        "binary instead": {_A: "+x bytes ours1"},
    },
    "CRLF": {
        "far line": CONFLICT,
        "renamed": {_A: None, _MINE: "crlf a1..a12"},
        "CRLF": {_A: "crlf a1..a12"},
        "executable": {_A: "+x crlf a1..a12"},
        "deleted": CONFLICT,
        "end chopped": CONFLICT,
    },
    "end chopped": {
        "far line": {_A: "a1..a9 ours10 a11..a12 \\"},
        "line at the end": CONFLICT,
        "renamed": {_A: None, _MINE: "a1..a12 \\"},
        "end chopped": {_A: "a1..a12 \\"},
        "deleted": CONFLICT,
    },
    "folder instead": {
        "far line": CONFLICT,
        "renamed": CONFLICT,
        "deleted": {_A: None, "conf/a.yaml/part": "theirs1..theirs5"},
        "folder instead": {_A: None, "conf/a.yaml/inner": "ours1..ours3", "conf/a.yaml/part": "theirs1..theirs5"},
        "link instead": CONFLICT,
        "copy edited": {_A: None, "conf/a.yaml/part": "theirs1..theirs5", "conf/copy.yaml": "a1..a9 ours10 a11..a12"},
    },
    "new added": {
        "new added": CONFLICT,
        "new added alike": {_NEW: "theirs1..theirs5"},
        "untracked new": REFUSED,
        "folder renamed": {
            _A: None,
            _B: None,
            "settings/a.yaml": "a1..a12",
            "settings/b.yaml": "b1..b12",
            "settings/new.yaml": "theirs1..theirs5",
        },
        "folder deleted": {_A: None, _B: None, _NEW: "theirs1..theirs5"},
        "file added": {_NEW: "theirs1..theirs5", "conf/own.yaml": "ours1..ours5"},
        "line 3": {_A: "a1..a2 ours3 a4..a12", _NEW: "theirs1..theirs5"},
    },
    "ignored added": {
        "ignored new": REFUSED,
        "ignored notes": {"local/new.yaml": "theirs1..theirs5", "local/notes.txt": "ours1..ours5"},
        "far line": {_A: "a1..a9 ours10 a11..a12", "local/new.yaml": "theirs1..theirs5"},
    },
    "binary": {
        "binary edited": CONFLICT,
    },
    "CRLF file": {
        "CRLF file edited": {"win.txt": "crlf w1..w2 theirs3 w4..w9 ours10 w11..w12"},
    },
    "latin-1 file": {
        "latin-1 file edited": {"latin.txt": "latin l1..l2 theirs3 l4..l9 ours10 l11..l12"},
    },
    "chopped file": {
        "chopped file edited": {"end.txt": "e1..e2 theirs3 e4..e9 ours10 e11..e12 \\"},
    },
}
"""Change, then edit, to the result: files as they must be, or `CONFLICT`, or `REFUSED`."""

CASES: Final = tuple((change, edit) for change, edits in TABLE.items() for edit in edits)


def edit_of(name: str) -> Files:
    """What a kind of edit brings."""
    return EDITS.get(name) or LOOSE[name]
