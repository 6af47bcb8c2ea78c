"""An upgrade as one commit in a repo's object store; work tree, index and branches stay as they are.

Where a file is in conflict the commit keeps the team's text, whole, and the ledger says which change it lacks, so that
no repo is left half merged and the change comes back.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError
from carrental_mlops.fleet.clones import TRAILER
from carrental_mlops.fleet.versions import Versions
from carrental_mlops.governance.ledger import LEDGER, Declined, ledger_text
from carrental_mlops.governance.waivers import WAIVERS
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store
from carrental_mlops.scaffold.ownership import RECORD
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade import codemod
from carrental_mlops.upgrade.changelog import version_key
from carrental_mlops.upgrade.finish import ledger_planned
from carrental_mlops.upgrade.head import read_head
from carrental_mlops.upgrade.merge import Change
from carrental_mlops.upgrade.override_report import OverrideFinding, OverrideReport, report
from carrental_mlops.upgrade.phases import Outcome
from carrental_mlops.upgrade.plan import Plan, open_git, plan

_MADE_UP = re.compile(r"~yours(_\d+)?$")
"""What git puts behind the name of a file of the team that cannot stay where it is."""
_SAID = "crm fleet upgrade"
"""In the reflog."""


@dataclass(frozen=True)
class Upgrade:
    """An upgrade of one repo, committed to no branch yet."""

    outcome: Outcome
    overrides: OverrideReport
    commit: str
    """Empty in a dry run."""
    rewritten: tuple[str, ...] = ()
    """Files of the team that the codemod brought to the new version, in the same commit."""

    @property
    def broken(self) -> tuple[OverrideFinding, ...]:
        """What a person has to mend."""
        return tuple(f for f in self.overrides.blocking if not (self.rewritten and f.mend == codemod.COMMAND))


def prepare(root: Path, new: Material, versions: Versions, author: str, *, dry_run: bool = False) -> Upgrade | None:
    """Upgrade the last commit of the repo at `root`.

    Args:
        root: the model repo.
        new: the version to go to.
        versions: what is kept of each version for all repos.
        author: `Name <mail>` of the commit; its time is that of the commit below, so that it is the same each time.
        dry_run: leave no object either.

    Returns:
        None where the repo stands on that version, or a newer one.

    Raises:
        ConfigError: no repo of ours, git is in the middle of something, or a version is gone.
        TemplateError: a template or an answer is not what it must be.
        PlatformError: a version cannot be fetched.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-fleet-"))) if dry_run else None
        store = stack.enter_context(Store(open_git(root, scratch)))
        head = read_head(store)
        stands = head.recorded.version
        if version_key(stands) >= version_key(new.version):
            return None
        old = versions.get(stands)
        with versions.reading:
            overrides = report(root, old, new)
            rewritten = _rewritten(root, old, new, overrides)
        planned = plan(root, old, new, compile_template=versions.compiled, store=store, head=head)
        files = _files(store, planned)
        tree = store.put_tree(files)
        entries = ledger_planned(store, planned, tree)
        rewritten = tuple(rewritten) if all(store.at(tree, one.path) == one.before for one in rewritten) else ()
        commit = "" if dry_run else _commit(store, planned, files, entries, rewritten, author)
    return Upgrade(_outcome(planned, entries), overrides, commit, tuple(one.path for one in rewritten))


def set_branch(root: Path, branch: str, commit: str) -> None:
    """Point a local branch at a campaign's commit.

    Raises:
        ConfigError: it holds somebody's commits, or is checked out.
    """
    git, name = Git(root), f"refs/heads/{branch}"
    if git.run("update-ref", "-m", _SAID, name, commit, "0" * len(commit)).returncode == 0:
        return  # it was not there
    told = git.out("for-each-ref", "--format=%(objectname) %(HEAD)%(contents)", name).decode(errors="replace")
    there, _, message = told.partition(" ")
    if there == commit:
        return
    if there and f"\n{TRAILER}: " not in message:
        raise ConfigError(f"{root}: branch {branch} holds somebody's commits", f"git branch -m {branch} another-name")
    if message.startswith("*"):
        raise ConfigError(f"{root}: branch {branch} is checked out", "git switch to another one")
    git.out("update-ref", "-m", _SAID, name, commit, there or "0" * len(commit))


def author_of(root: Path) -> str:
    """`Name <mail>` that git would commit under at `root`; `crm` where nobody is configured."""
    git = Git(root).identified()
    return git.text("var", "GIT_COMMITTER_IDENT").rpartition("> ")[0] + ">"


def _files(store: Store, planned: Plan) -> dict[str, Entry]:
    """The merged files, with the team's at every path in conflict; the record is still the old one."""
    merged = planned.merged
    if not merged.unmerged:
        return store.files(merged.tree) | {c.path: c.after for c in merged.changes if c.path == WAIVERS and c.after}
    head = store.files(planned.head.tree)
    found = dict(head)
    for one in merged.changes:
        now = one.before or _ours(one) if one.stages else one.after
        if now is None:
            found.pop(one.path, None)
        elif one.path != RECORD:
            found[one.path] = now
    for path in merged.unmerged:
        place = _MADE_UP.sub("", path)
        if place != path and place in head:  # a folder of the template is in the way of a file
            gone = {other for other in found if other == path or other.startswith(f"{place}/")}
            found = {place: head[place], **{p: entry for p, entry in found.items() if p not in gone}}
    return found


def _ours(change: Change) -> Entry | None:
    """The team's side of a conflict, where git moved it with a file that the template renamed."""
    return next((Entry(mode, oid) for mode, oid, stage in change.stages if stage == 2), None)


def _outcome(planned: Plan, entries: tuple[Declined, ...]) -> Outcome:
    merged = planned.merged
    changed = tuple(one.path for one in merged.changes if one.before != one.after and not one.stages)
    journal = planned.journal
    return Outcome(
        journal.version_from, journal.version_to, changed, merged.unmerged, merged.conflicts, entries,
        tuple(entry.path for entry in planned.returned),
    )  # fmt: skip


def _rewritten(root: Path, old: Material, new: Material, overrides: OverrideReport) -> tuple[codemod.FileChange, ...]:
    if not any(finding.mend == codemod.COMMAND for finding in overrides.blocking):
        return ()
    return codemod.plan(root, old, new).files


def _commit(
    store: Store, planned: Plan, files: dict[str, Entry], entries: tuple[Declined, ...],
    rewritten: tuple[codemod.FileChange, ...], author: str,
) -> str:  # fmt: skip
    journal = planned.journal
    message = f"Upgrade carrental-mlops {journal.version_from} to {journal.version_to}\n\n"
    message += "".join(f"Kept as the team has it: {path}\n" for path in planned.merged.unmerged)
    message += "".join(f"Rewritten for {journal.version_to}: {change.path}\n" for change in rewritten)
    told = f"{message}\n{TRAILER}: {journal.version_to}\n".encode("utf-8", "replace")
    record = next(one.after for one in planned.merged.changes if one.path == RECORD and one.after)
    made = {**files, RECORD: record}
    made.pop(LEDGER, None)
    if entries:
        made[LEDGER] = Entry("100644", store.put("blob", ledger_text(entries).encode()))
    for change in rewritten:
        made[change.path] = Entry(made[change.path].mode, store.put("blob", change.after))
    return store.put_commit(store.put_tree(made), journal.head, f"{author} {planned.head.seconds} +0000", told)
