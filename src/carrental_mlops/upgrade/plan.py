"""What an upgrade would do to a repo: both versions rendered and merged in git's object store, nothing touched."""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from carrental_mlops.errors import ConfigError, TemplateError
from carrental_mlops.governance.ledger import Declined
from carrental_mlops.governance.waivers import WAIVERS, followed
from carrental_mlops.scaffold.answers import checked, complete
from carrental_mlops.scaffold.catalogue import Question, describe
from carrental_mlops.scaffold.git import Git
from carrental_mlops.scaffold.git_store import Entry, Store
from carrental_mlops.scaffold.ownership import RECORD, Recorded, record
from carrental_mlops.scaffold.rendering import Rendered, Rendering
from carrental_mlops.scaffold.team_versions import template_sides
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.declined import offered_again
from carrental_mlops.upgrade.head import Head, read_head
from carrental_mlops.upgrade.journal import Journal
from carrental_mlops.upgrade.merge import Change, Merged, merge, renames, with_dropped
from carrental_mlops.upgrade.trees import Sides, commit_sides

_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


@dataclass(frozen=True)
class Plan:
    """An upgrade, computed."""

    git: Git
    journal: Journal
    merged: Merged
    returned: tuple[Declined, ...]
    """Ledger entries that this upgrade brings again."""
    head: Head
    base: Mapping[str, Rendered]
    """The old version's files, with what was declined offered again."""
    theirs: Mapping[str, Rendered]
    """The new version's files."""

    @cached_property
    def dirty(self) -> tuple[str, ...]:
        """Tracked paths with uncommitted work."""
        return _dirty(self.git)


def open_git(root: Path, scratch: Path | None = None) -> Git:
    """The repository of a model repo; with `scratch`, a folder, new objects go there and the repo stays as it is.

    Raises:
        ConfigError: it is none, or the repo is a folder of a larger one.
    """
    git = Git(root)
    if not git.is_top:
        raise ConfigError(
            f"{root} is not the top of a git repository", "crm upgrade merges by git: git init, commit, and cd there"
        )
    if scratch is None:
        return git
    objects = {"GIT_OBJECT_DIRECTORY": str(scratch), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(git.store)}
    return Git(root, (), objects)


def plan(
    root: Path,
    old: Material,
    new: Material,
    given: Mapping[str, str] | None = None,
    *,
    ask: Callable[[Question, Mapping[str, str]], str] | None = None,
    compile_template: Callable[[Path], Rendering] = Rendering,
    today: datetime.date | None = None,
    scratch: Path | None = None,
    templates: Callable[[Recorded, Material, Material], tuple[Path, Path]] = template_sides,
    store: Store | None = None,
    head: Head | None = None,
) -> Plan:
    """Compute an upgrade. Objects are written to git's store, and nothing else.

    Args:
        root: the model repo.
        old: the version that its `.crm.json` names.
        new: the version to go to.
        given: answers to questions that the new version asks and the old did not, or that are to change.
        ask: for an answer that is neither recorded nor given; None takes the default.
        compile_template: for many repos, one that keeps what it compiled (`functools.cache(Rendering)`).
        today: for waivers; default: the day it is.
        scratch: a folder for git's new objects, where nothing is to be carried out.
        templates: what both versions hold of the repo's template.
        store: of the repo, where it is open already; with it `scratch` counts for nothing.
        head: the repo's last commit, where that was read already.

    Raises:
        ConfigError: no repo of ours, or git is in the middle of something.
        TemplateError: a template or an answer is not what it must be, or git refuses.
    """
    if store is None:
        with Store(open_git(root, scratch)) as store:
            return plan(
                root, old, new, given, ask=ask, compile_template=compile_template, today=today, templates=templates,
                store=store, head=head,
            )  # fmt: skip
    head = head or read_head(store)
    recorded = head.recorded
    _refuse_under_way(store.git)
    before, after = templates(recorded, old, new)
    about = describe(after)
    answers = _answers(about.questions, recorded.answers, given or {}, ask)
    rendered = compile_template(before).rendered(recorded.answers)
    theirs = compile_template(after).rendered(answers)
    returned = tuple(e for e in head.ledger if not e.waived(today or datetime.date.today()))
    base = offered_again(rendered, returned)
    sides = commit_sides(store, base, theirs, head.tree)
    merged = merge(store, sides, new.version)
    if set(base) - set(theirs):
        merged = with_dropped(store, sides, merged, new.version)
    said = record(theirs, recorded.template, new.version, answers, about.package)
    own = (_record_change(store, head, said), *_waivers_change(store, head, merged, sides))
    changes = tuple(sorted((*merged.changes, *own), key=lambda c: c.path))
    merged = replace(merged, changes=changes)
    journal = Journal(
        "prepare", head.commit, recorded.template, old.version, new.version, answers, sides, changes, merged.conflicts,
        secrets.token_hex(6), tuple(entry.path for entry in returned),
    )  # fmt: skip
    return Plan(store.git, journal, merged, returned, head, base, theirs)


def _refuse_under_way(git: Git) -> None:
    plain = git.root / ".git"
    folder = plain if plain.is_dir() else git.directory
    for name in _UNDER_WAY:
        if (folder / name).exists():
            raise ConfigError(f"git is in the middle of something ({name})", "finish or abort it: git status")


def _dirty(git: Git) -> tuple[str, ...]:
    told = git.out(
        "status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames"
    )
    return tuple(line[3:] for line in told.decode("utf-8", "surrogateescape").split("\0") if line)


def _answers(
    questions: tuple[Question, ...],
    recorded: Mapping[str, str],
    given: Mapping[str, str],
    ask: Callable[[Question, Mapping[str, str]], str] | None,
) -> dict[str, str]:
    answers: dict[str, str] = {}
    for question in questions:
        if question.name in given:
            answers[question.name] = given[question.name]
        elif question.name in recorded:
            answers[question.name] = _still_allowed(question, recorded[question.name])
        elif ask is not None:
            answers[question.name] = ask(question, answers)
    unknown = {name: value for name, value in given.items() if name not in answers}
    return complete(questions, answers | unknown)


def _still_allowed(question: Question, answer: str) -> str:
    try:
        return checked(question, answer)
    except TemplateError as error:
        raise TemplateError(f"the new version: {error.what}", f"crm upgrade --set {question.name}=…") from error


def _record_change(store: Store, head: Head, said: bytes) -> Change:
    """`.crm.json` rewritten; keys that are not ours stay."""
    text = (json.dumps({**json.loads(head.record_text), **json.loads(said)}, indent=2) + "\n").encode()
    return Change(RECORD, head.record, Entry(head.record.mode, store.put("blob", text)))


def _waivers_change(store: Store, head: Head, merged: Merged, sides: Sides) -> Iterator[Change]:
    """`config/waivers.yaml` with the files that the template renamed under their new names."""
    text = store.at(head.tree, WAIVERS)
    if text is None or any(change.path == WAIVERS for change in merged.changes):
        return
    there = store.files(merged.tree)
    moves = {
        path: to
        for path, to in renames(store, (sides.base, sides.theirs))[0].items()
        if to in there and path not in there and to not in merged.unmerged
    }
    said = followed(text.decode("utf-8", "surrogateescape"), moves).encode("utf-8", "surrogateescape")
    if said != text:
        before = store.files(head.tree)[WAIVERS]
        yield Change(WAIVERS, before, Entry(before.mode, store.put("blob", said)))


def files_of_commit(store: Store, commit: str) -> dict[str, Rendered]:
    """Path to file of a commit that `commit_sides` made."""
    found = {}
    for path, entry in store.files(store.tree_of(commit)).items():
        one = store.get(entry.oid)
        if one is None:
            raise TemplateError(
                f"{store.git.root}: git lacks {entry.oid}, which is {path}", "git fsck; crm upgrade --abort"
            )
        found[path] = Rendered(one.content, entry.mode == "100755")
    return found
