"""The last commit of a repo as an upgrade needs it, asked of git in one call."""

from __future__ import annotations

from dataclasses import dataclass

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.ledger import LEDGER, Declined, parse_ledger
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.ownership import RECORD, Recorded, parse_record
from carrental_mlops.upgrade.merge import Entry


@dataclass(frozen=True)
class Head:
    """The last commit."""

    commit: str
    tree: str
    seconds: int
    """When it was committed, since 1970."""
    recorded: Recorded
    record: Entry
    """Of `.crm.json`."""
    record_text: bytes
    ledger: tuple[Declined, ...]


def read_head(git: Git) -> Head:
    """The last commit of the repository.

    Raises:
        ConfigError: there is none, or it has no `.crm.json` or ledger that we wrote.
    """
    commit, tree, record, ledger = git.objects(("HEAD^{commit}", "HEAD^{tree}", f"HEAD:{RECORD}", f"HEAD:{LEDGER}"))
    if commit is None or tree is None:
        raise ConfigError(f"{git.root} has no commit yet", "git add --all && git commit")
    if record is None:
        raise ConfigError(f"no {RECORD} in the last commit of {git.root}", "cd into a repo that crm new made")
    return Head(
        commit.oid,
        tree.oid,
        _seconds(commit.content),
        parse_record(record.content, f"HEAD:{RECORD}"),
        Entry(_mode(tree.content, RECORD, len(commit.oid) // 2), record.oid),
        record.content,
        parse_ledger(ledger.content.decode("utf-8", "replace"), f"HEAD:{LEDGER}") if ledger else (),
    )


def _seconds(commit: bytes) -> int:
    line = next(row for row in commit.split(b"\n") if row.startswith(b"committer "))
    return int(line.split(b" ")[-2])


def _mode(tree: bytes, name: str, length: int) -> str:
    """Of an entry of a tree object: `mode name NUL digest`, one after another."""
    while tree:
        head, _, rest = tree.partition(b"\0")
        mode, _, found = head.partition(b" ")
        if found == name.encode():
            return mode.decode()
        tree = rest[length:]
    return "100644"
