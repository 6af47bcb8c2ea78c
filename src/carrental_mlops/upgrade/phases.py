"""An upgrade carried out: phase by phase from its journal, so that it goes on or is undone after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.governance.ledger import Declined
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Store
from carrental_mlops.upgrade.finish import finish, ledger_of, ledger_planned
from carrental_mlops.upgrade.journal import Journal, JournalFile
from carrental_mlops.upgrade.merge import Change
from carrental_mlops.upgrade.plan import Plan, open_git
from carrental_mlops.upgrade.work_tree import WorkTree

_KEEP = "refs/worktree/crm-upgrade"
"""Holds the two versions while conflicts are being resolved."""
_MARKS = ("<<<<<<< yours", ">>>>>>> carrental-mlops-")


@dataclass(frozen=True)
class Outcome:
    """What an upgrade did, or in a dry run would do."""

    version_from: str
    version_to: str
    changed: tuple[str, ...]
    unmerged: tuple[str, ...]
    """Paths in conflict; then nothing is committed yet."""
    conflicts: tuple[str, ...]
    """Git's sentences about them."""
    ledger: tuple[Declined, ...]
    """What the repo does not hold of the template; known once nothing is in conflict."""
    returned: tuple[str, ...] = ()
    """Paths whose declined change this upgrade brought again."""
    commit: str = ""
    stash: str = ""
    """Uncommitted work that could not be put back: it lies in this stash commit."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def foreseen(plan: Plan) -> Outcome:
    """What `start` would do; reads the work tree and writes nothing there.

    Raises:
        ConfigError: something that git would lose is in the way.
    """
    file = JournalFile(plan.git)
    WorkTree(plan.git, file, plan.journal).refuse_what_would_be_lost()
    with Store(plan.git) as store:
        entries = () if plan.merged.unmerged else ledger_planned(store, plan, plan.merged.tree)
    return _outcome(plan.journal, entries, plan.journal.returned)


def start(plan: Plan, *, stash: bool = False, look: Callable[[], None] | None = None) -> Outcome:
    """Bring the planned upgrade into the repo: a commit where it merges clean, else conflicts as git shows them.

    Args:
        plan: of this repo as it is now.
        stash: put uncommitted work away and back, instead of refusing it.
        look: called before the commit; what it raises becomes a note.

    Raises:
        ConfigError: an upgrade is in progress, there is uncommitted work, or what git would lose is in the way.
        PlatformError: a full disk, a folder that cannot be written, another git at work. The repo is as it was.
    """
    file = JournalFile(plan.git)
    with file.held():
        refuse_in_progress(plan.git)
        if plan.dirty and not stash:
            raise ConfigError(
                f"uncommitted work in {', '.join(plan.dirty[:5])}{' …' if len(plan.dirty) > 5 else ''}",
                "commit it, or crm upgrade --stash, which puts it away and back",
            )
        journal = plan.journal
        if plan.dirty:
            made = plan.git.identified().text("stash", "create", f"crm upgrade to {journal.version_to}")
            journal = replace(journal, phase="stash", stash=made)
        journal = file.write(journal)
        try:
            return _go(plan.git, file, journal, look, plan)
        except (CrmError, OSError, KeyboardInterrupt) as error:
            _undone(plan.git, file, error)
            raise


def refuse_in_progress(git: Git) -> None:
    """Raises ConfigError where an upgrade was begun and not ended."""
    if JournalFile(git).read() is not None:
        raise ConfigError("an upgrade is in progress here", "crm upgrade --continue, or crm upgrade --abort")


def proceed(root: Path, look: Callable[[], None] | None = None) -> Outcome:
    """Go on with an upgrade: after its conflicts are resolved, or after a kill.

    Raises:
        ConfigError: there is none in progress, or conflicts are left.
    """
    git = open_git(root)
    file = JournalFile(git)
    with file.held():
        journal = file.read()
        if journal is None:
            raise ConfigError("no upgrade is in progress here", "crm upgrade")
        if journal.phase == "conflicts":
            _refuse_conflicts(git, journal)
            journal = file.enter(journal, "finish")
        return _go(git, file, journal, look)


def abort(root: Path) -> list[str]:
    """Undo an upgrade in progress: work tree, index and stashed work as they were.

    Returns:
        How to get back texts that were written meanwhile, one a line.

    Raises:
        ConfigError: there is none in progress, or it is committed already.
    """
    git = open_git(root)
    file = JournalFile(git)
    with file.held():
        journal = file.read()
        if journal is None:
            raise ConfigError("no upgrade is in progress here", "git log -1 says whether it is committed")
        return _undo(git, file, journal)


def _go(
    git: Git, file: JournalFile, journal: Journal, look: Callable[[], None] | None, plan: Plan | None = None
) -> Outcome:
    """Run the phases that are left; `plan`: all of them, of what was planned a moment ago."""
    if journal.phase == "stash":
        _put_away(git, journal)
        journal = file.enter(journal, "prepare")
    tree = WorkTree(git, file, journal)
    if journal.phase == "prepare":
        tree.refuse_what_would_be_lost()
        tree.prepare()
        journal = file.enter(journal, "apply")
    if journal.phase == "apply":
        tree.apply()
        tree.clear()
        journal = _applied(git, file, journal)
    if journal.phase == "conflicts":
        return _outcome(journal, (), journal.returned)
    notes: tuple[str, ...] = ()
    entries: tuple[Declined, ...] = ()
    if journal.phase == "finish":
        journal, entries, notes = finish(git, file, journal, look, plan)
    left = _put_back(git, file, journal)
    _end(git, file, journal)
    return replace(_outcome(journal, entries, journal.returned, notes), commit=journal.commit, stash=left)


def _applied(git: Git, file: JournalFile, journal: Journal) -> Journal:
    if not journal.conflicts:
        return file.enter(journal, "finish")
    git.out("update-ref", _KEEP, journal.sides.theirs)
    return file.enter(journal, "conflicts")


def _undone(git: Git, file: JournalFile, error: BaseException) -> None:
    """After a failure the repo is as it was; where even that fails, the journal is there for `--abort`."""
    try:
        now = file.read()
        if now is None or now.phase in ("finish", "unstash"):
            return
        for line in _undo(git, file, now):
            error.add_note(line)
    except (CrmError, OSError) as second:
        error.add_note(f"not undone ({second.args[0]}): once that is mended, crm upgrade --continue or --abort")


def _undo(git: Git, file: JournalFile, journal: Journal) -> list[str]:
    kept: list[str] = []
    if journal.phase in ("finish", "unstash") and git.text("rev-parse", "HEAD") != journal.head:
        raise ConfigError("the upgrade is committed", f"crm upgrade --continue, then git revert {journal.commit[:12]}")
    if journal.phase != "stash":
        if git.text("rev-parse", "HEAD") != journal.head:
            raise ConfigError(
                "HEAD has moved since", f"git switch back to {journal.head[:12]}, or crm upgrade --continue"
            )
        tree = WorkTree(git, file, journal)
        if journal.phase != "prepare":
            kept = tree.restore(discard=journal.phase != "apply")
        if journal.phase == "finish":
            ledger_of(git, journal.head)
        tree.clear()
    elif journal.stash:
        _put_away(git, journal)
    left = _put_back(git, file, journal)
    if left:
        kept.append(f"your uncommitted work could not be put back: git stash apply {left}")
    _end(git, file, journal)
    return kept


def _end(git: Git, file: JournalFile, journal: Journal) -> None:
    if journal.conflicts:
        git.run("update-ref", "-d", _KEEP)
    file.remove()


def _put_away(git: Git, journal: Journal) -> None:
    """Uncommitted work into the stash; what was written since the upgrade was cut off, into one of its own."""
    now = git.identified().text("stash", "create", "crm upgrade: written while an upgrade was in progress")
    trees = [git.text("rev-parse", f"{commit}^{{tree}}") for commit in (journal.stash, now) if commit]
    known = git.text("stash", "list", "--format=%H").split()
    for commit in (now if len(set(trees)) == 2 else "", journal.stash):
        if commit and commit not in known:
            git.out("stash", "store", "--message", f"crm upgrade to {journal.version_to}", commit)
    git.out("reset", "--hard", "--quiet", "HEAD")


def _put_back(git: Git, file: JournalFile, journal: Journal) -> str:
    """Uncommitted work back in the work tree; returns the stash that is left where that does not go."""
    if not journal.stash:
        return ""
    file.enter(journal, "unstash")
    known = git.text("stash", "list", "--format=%H").split()
    if journal.stash not in known:
        return ""
    git = git.identified()
    if git.out("status", "--porcelain=v1", "--untracked-files=no"):
        if not _is_back(git, journal.stash):
            return journal.stash
    elif all(git.run("stash", "apply", "--quiet", *way, journal.stash).returncode for way in (("--index",), ())):
        return journal.stash
    git.out("stash", "drop", "--quiet", f"stash@{{{known.index(journal.stash)}}}")
    return ""


def _is_back(git: Git, stash: str) -> bool:
    """Whether the work tree holds what was stashed: a kill came between putting it back and dropping the stash."""
    paths = git.text("diff-tree", "-r", "-z", "--name-only", f"{stash}^1", stash).split("\0")
    return git.run("diff", "--quiet", stash, "--", *(path for path in paths if path)).returncode == 0


def _refuse_conflicts(git: Git, journal: Journal) -> None:
    left = sorted({row.partition("\t")[2] for row in git.text("ls-files", "-u", "-z").split("\0") if row})
    if left:
        raise ConfigError(f"in conflict: {', '.join(left)}", f"resolve them, git add {' '.join(left)}, then --continue")
    for change in journal.changes:
        if not change.stages:
            continue
        text = git.run("cat-file", "blob", f":{change.path}").stdout.decode("utf-8", "replace").splitlines()
        for number, line in enumerate(text, 1):
            if line.startswith(_MARKS):
                raise ConfigError(
                    f"{change.path}:{number} still holds git's conflict marker", f"resolve it, git add {change.path}"
                )


def _outcome(
    journal: Journal, entries: tuple[Declined, ...], returned: tuple[str, ...], notes: tuple[str, ...] = ()
) -> Outcome:
    def paths(wanted: Callable[[Change], bool]) -> tuple[str, ...]:
        return tuple(change.path for change in journal.changes if wanted(change))

    return Outcome(
        journal.version_from,
        journal.version_to,
        paths(lambda change: change.before != change.after or bool(change.stages)),
        paths(lambda change: bool(change.stages)),
        journal.conflicts,
        entries,
        returned,
        notes=notes,
    )
