"""The end of an upgrade: ledger, check, commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.ledger import LEDGER, Declined, ledger_text, write_ledger
from carrental_mlops.scaffold.git import Git
from carrental_mlops.upgrade.declined import Files, declined, offered_again, settled
from carrental_mlops.upgrade.journal import Journal, JournalFile
from carrental_mlops.upgrade.plan import Plan, files_of_commit, head_ledger, head_record


def finish(
    git: Git, file: JournalFile, journal: Journal, look: Callable[[], None] | None
) -> tuple[Journal, tuple[Declined, ...], tuple[str, ...]]:
    """Ledger, check and commit of what the index holds; done again it changes nothing.

    Args:
        git: the repository.
        file: its journal.
        journal: the upgrade, without conflicts.
        look: called before the commit; what it raises becomes a note.

    Returns:
        The journal with the commit, the ledger, the notes.

    Raises:
        ConfigError: another branch is checked out, or the index was taken back to the old version.
    """
    if git.run("merge-base", "--is-ancestor", journal.head, "HEAD").returncode:
        raise ConfigError("HEAD is on another branch now", f"git switch to the branch of {journal.head[:12]}")
    if journal.commit and git.text("rev-parse", "HEAD") == journal.commit:
        return journal, head_ledger(git, journal.commit), ()
    if head_record(git, "").version != journal.version_to:
        raise ConfigError(
            "the index holds the old version again (git reset, git checkout)", "crm upgrade --abort, then crm upgrade"
        )
    entries = ledger_after(git, journal, git.text("write-tree"))
    notes: list[str] = []
    _write_ledger(git, entries)
    if look is not None:
        try:
            look()
        except CrmError as error:
            notes.append(str(error))
    parent, tree = git.text("rev-parse", "HEAD"), git.text("write-tree")
    if tree == git.text("rev-parse", "HEAD^{tree}"):
        return replace(journal, commit=parent), entries, tuple(notes)  # the team committed it
    git = git.identified()
    sign = ["-S"] if git.run("config", "--type=bool", "commit.gpgSign").stdout.strip() == b"true" else []
    message = _message(journal, entries).encode("utf-8", "replace")
    made = git.out("commit-tree", tree, "-p", parent, *sign, stdin=message).decode().strip()
    journal = file.enter(journal, "finish", commit=made)
    git.out("update-ref", "-m", f"crm upgrade: to {journal.version_to}", "HEAD", made, parent)
    return journal, entries, tuple(notes)


def _message(journal: Journal, entries: tuple[Declined, ...]) -> str:
    lines = [f"Upgrade carrental-mlops {journal.version_from} to {journal.version_to}", ""]
    resolved = [change.path for change in journal.changes if change.stages]
    if resolved:
        lines += ["Conflicts resolved by hand:", *(f"- {path}" for path in resolved), ""]
    if entries:
        lines += [f"Declined ({LEDGER}):", *(f"- {entry.path}" for entry in entries), ""]
    return "\n".join(lines)


def _write_ledger(git: Git, entries: tuple[Declined, ...]) -> None:
    """The ledger in work tree and index; the same again where it is there already."""
    write_ledger(git.root, entries)
    text = ledger_text(entries)
    if not text:
        git.out("update-index", "--force-remove", "--", LEDGER)
        return
    oid = git.out("hash-object", "-w", "--stdin", "--no-filters", stdin=text.encode()).decode().strip()
    git.out("update-index", "--add", "--cacheinfo", f"100644,{oid},{LEDGER}")


def ledger_after(git: Git, journal: Journal, result: str) -> tuple[Declined, ...]:
    """The ledger after this upgrade, where the tree `result` is what the repo has then."""
    base, theirs = (files_of_commit(git, side) for side in (journal.sides.base, journal.sides.theirs))
    return _ledger(git, journal, result, (base, theirs), head_ledger(git, journal.head))


def ledger_planned(plan: Plan, result: str) -> tuple[Declined, ...]:
    """The same of an upgrade that was planned in this process, whose files need not be read again."""
    return _ledger(plan.git, plan.journal, result, (plan.base, plan.theirs), plan.head.ledger)


def _ledger(
    git: Git, journal: Journal, result: str, files: tuple[Files, Files], old: tuple[Declined, ...]
) -> tuple[Declined, ...]:
    base, theirs = files
    versions = (journal.version_from, journal.version_to)
    waived = [entry for entry in old if entry.path not in journal.returned]
    fresh = list(declined(git, journal.sides, result, base, theirs, versions))
    if not waived:
        return settled(fresh, fresh, old)
    whole = list(declined(git, journal.sides, result, offered_again(base, waived), theirs, versions))
    return settled(fresh, whole, old)


def ledger_of(git: Git, commit: str) -> None:
    """The ledger of a commit in the work tree again."""
    done = git.run("cat-file", "blob", f"{commit}:{LEDGER}")
    if done.returncode:
        (git.root / LEDGER).unlink(missing_ok=True)
    else:
        with whole_file(git.root / LEDGER) as draft:
            draft.write_bytes(done.stdout)
