"""What a checkout would write into the work tree: objects of git after its filters and line endings."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry

LINK = "120000"
"""Git's mode of a symbolic link."""


def contents(git: Git, wanted: list[tuple[str, Entry]]) -> Mapping[tuple[str, Entry], bytes]:
    """Of each path and entry the bytes that a checkout would write there.

    Raises:
        TemplateError: git lacks an object.
    """
    found: dict[tuple[str, Entry], bytes] = {}
    end = f"crm-end-{secrets.token_hex(8)}"
    for links in (True, False):
        these = [(path, entry) for path, entry in wanted if (entry.mode == LINK) is links]
        if not these:
            continue
        lines = [entry.oid if links else f"{entry.oid} {path}" for path, entry in these]
        asked = "".join(f"{line}\0{end}\0" for line in lines).encode("utf-8", "surrogateescape")
        told = git.out("cat-file", "--batch", "-z", *([] if links else ["--filters"]), stdin=asked)
        # Git tells the size before filters, so that what it says of a name that is nowhere marks each end.
        for key, answer in zip(these, told.split(f"\n{end} missing\n".encode()), strict=False):
            head, _, content = answer.partition(b"\n")
            if len(head.split(b" ")) != 3:
                raise TemplateError(f"{git.root}: git lacks an object of {key[0]}", "git fsck; crm upgrade --abort")
            found[key] = content
    return found
