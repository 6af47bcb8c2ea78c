"""The last commit of a repo as an upgrade needs it, asked of git in one call."""

from __future__ import annotations

from dataclasses import dataclass

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.ledger import LEDGER, Declined, parse_ledger
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store
from carrental_mlops.scaffold.ownership import RECORD, Recorded, parse_record


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


def read_head(store: Store) -> Head:
    """The last commit of the repository.

    Raises:
        ConfigError: there is none, or it has no `.crm.json` or ledger that we wrote.
    """
    root, commit = store.git.root, store.get("HEAD^{commit}")
    if commit is None:
        raise ConfigError(f"{root} has no commit yet", "git add --all && git commit")
    tree = store.tree_of(commit.oid)
    entry = store.tree(tree).get(RECORD)
    record, ledger = store.at(tree, RECORD), store.at(tree, LEDGER)
    if entry is None or record is None:
        raise ConfigError(f"no {RECORD} in the last commit of {root}", "cd into a repo that crm new made")
    return Head(
        commit.oid,
        tree,
        _seconds(commit.content),
        parse_record(record, f"HEAD:{RECORD}"),
        entry,
        record,
        parse_ledger(ledger.decode("utf-8", "replace"), f"HEAD:{LEDGER}") if ledger is not None else (),
    )


def head_record(git: Git, commit: str = "HEAD") -> Recorded:
    """What the `.crm.json` of a commit says; of the index where `commit` is empty.

    Raises:
        ConfigError: there is no commit, or it has no `.crm.json` that we wrote.
    """
    done = git.run("cat-file", "blob", f"{commit}:{RECORD}")
    if done.returncode:
        raise ConfigError(f"no {RECORD} in the last commit of {git.root}", "cd into a repo that crm new made")
    return parse_record(done.stdout, f"{commit}:{RECORD}")


def head_ledger(git: Git, commit: str) -> tuple[Declined, ...]:
    """The ledger of a commit."""
    done = git.run("cat-file", "blob", f"{commit}:{LEDGER}")
    return parse_ledger(done.stdout.decode(), f"{commit}:{LEDGER}") if done.returncode == 0 else ()


def _seconds(commit: bytes) -> int:
    line = next(row for row in commit.split(b"\n") if row.startswith(b"committer "))
    return int(line.split(b" ")[-2])
