"""The end of an upgrade: ledger, check, commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.ledger import LEDGER, Declined, ledger_text, moved, write_ledger
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Store
from carrental_mlops.upgrade.declined import Files, declined, offered_again, settled
from carrental_mlops.upgrade.head import head_ledger, head_record
from carrental_mlops.upgrade.journal import Journal, JournalFile
from carrental_mlops.upgrade.merge import renames
from carrental_mlops.upgrade.plan import Plan, files_of_commit


def finish(
    git: Git, file: JournalFile, journal: Journal, look: Callable[[], None] | None, plan: Plan | None = None
) -> tuple[Journal, tuple[Declined, ...], tuple[str, ...]]:
    """Ledger, check and commit of what the index holds; done again it changes nothing.

    Args:
        git: the repository.
        file: its journal.
        journal: the upgrade, without conflicts.
        look: called before the commit; what it raises becomes a note.
        plan: of this upgrade, where it was planned and carried out without a break; then nothing is asked again.

    Returns:
        The journal with the commit, the ledger, the notes.

    Raises:
        ConfigError: another branch is checked out, or the index was taken back to the old version.
    """
    if plan is None:
        _refuse_changed(git, journal)
        if journal.commit and git.text("rev-parse", "HEAD") == journal.commit:
            return journal, head_ledger(git, journal.commit), ()
        _refuse_taken_back(git, journal)
    tree = git.text("write-tree")
    with Store(git) as store:
        entries = ledger_planned(store, plan, tree) if plan else ledger_after(store, journal, tree)
    if plan is None or entries != plan.head.ledger:
        _write_ledger(git, entries)
        tree = git.text("write-tree")
    notes: list[str] = []
    if look is not None:
        try:
            look()
        except CrmError as error:
            notes.append(str(error))
    parent = plan.head.commit if plan else git.text("rev-parse", "HEAD")
    if tree == (plan.head.tree if plan else git.text("rev-parse", "HEAD^{tree}")):
        return replace(journal, commit=parent), entries, tuple(notes)  # the team committed it
    made = _committed(git, tree, parent, _message(journal, entries).encode("utf-8", "replace"))
    journal = file.enter(journal, "finish", commit=made)
    git.out("update-ref", "-m", f"crm upgrade: to {journal.version_to}", "HEAD", made, parent)
    return journal, entries, tuple(notes)


def _refuse_changed(git: Git, journal: Journal) -> None:
    if git.run("merge-base", "--is-ancestor", journal.head, "HEAD").returncode:
        raise ConfigError("HEAD is on another branch now", f"git switch to the branch of {journal.head[:12]}")


def _refuse_taken_back(git: Git, journal: Journal) -> None:
    if head_record(git, "").version != journal.version_to:
        raise ConfigError(
            "the index holds the old version again (git reset, git checkout)", "crm upgrade --abort, then crm upgrade"
        )


def _committed(git: Git, tree: str, parent: str, message: bytes) -> str:
    """A commit under the configured identity, else under ours."""
    words = ["commit-tree", tree, "-p", parent, *(["-S"] if git.flag("commit.gpgsign", False) else [])]
    done = Git(git.root, (*git.settings, "user.useConfigOnly=true"), git.environment).run(*words, stdin=message)
    made = done.stdout if done.returncode == 0 else git.identified().out(*words, stdin=message)
    return made.decode().strip()


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


def ledger_after(store: Store, journal: Journal, result: str) -> tuple[Declined, ...]:
    """The ledger after this upgrade, where the tree `result` is what the repo has then."""
    base, theirs = (files_of_commit(store, side) for side in (journal.sides.base, journal.sides.theirs))
    return _ledger(store, journal, result, (base, theirs), head_ledger(store.git, journal.head))


def ledger_planned(store: Store, plan: Plan, result: str) -> tuple[Declined, ...]:
    """The same of an upgrade that was planned in this process, whose files need not be read again."""
    return _ledger(store, plan.journal, result, (plan.base, plan.theirs), plan.head.ledger)


def _ledger(
    store: Store, journal: Journal, result: str, files: tuple[Files, Files], old: tuple[Declined, ...]
) -> tuple[Declined, ...]:
    base, theirs = files
    versions = (journal.version_from, journal.version_to)
    waived = [entry for entry in old if entry.path not in journal.returned]
    fresh = list(declined(store, journal.sides, result, base, theirs, versions))
    before = old
    if any(entry.path not in theirs for entry in old):
        before = moved(old, renames(store, (journal.sides.base, journal.sides.theirs))[0])
    if not waived:
        return settled(fresh, fresh, before)
    whole = list(declined(store, journal.sides, result, offered_again(base, waived), theirs, versions))
    return settled(fresh, whole, before)


def ledger_of(git: Git, commit: str) -> None:
    """The ledger of a commit in the work tree again."""
    done = git.run("cat-file", "blob", f"{commit}:{LEDGER}")
    if done.returncode:
        (git.root / LEDGER).unlink(missing_ok=True)
    else:
        with whole_file(git.root / LEDGER) as draft:
            draft.write_bytes(done.stdout)
