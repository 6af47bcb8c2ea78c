"""Family 2: files of the template are as the template made them, or the ledger says why not."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.ledger import LEDGER, Declined, read_ledger
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView
from carrental_mlops.scaffold.ownership import RECORD

EDITED = Code(
    "CRM201", Severity.ERROR, "a managed file was edited",
    "The package owns it: an edit that no ledger entry explains comes up again at every upgrade, and nobody knows why.",
    "Take the edit back, or move it to a place that is yours (`local.mk`, your own tests, crm.yaml). `crm upgrade` "
    "records in the ledger what must stay.",
)  # fmt: skip
GONE = Code(
    "CRM202", Severity.ERROR, "a managed file is gone",
    "What it did is not done: a pipeline of CI, an ignored folder, a container.",
    "`crm check --fix` brings it back from git; `crm upgrade` records a deletion that must stay.",
)  # fmt: skip
NO_RECORD = Code(
    "CRM203", Severity.ERROR, "`.crm.json` is missing or unreadable",
    "Nobody can say which template and version the repo stands on, so no fix reaches it.",
    "`git checkout -- .crm.json`; it is committed and written by `crm` alone.",
)  # fmt: skip
OPEN = Code(
    "CRM204", Severity.WARNING, "a template change was declined and nobody answers for it",
    "The repo lacks a fix that others have.",
    "Accept it at the next `crm upgrade`, or `crm upgrade waive` it with a reason, a person and a date.",
)  # fmt: skip
EXPIRED = Code(
    "CRM205", Severity.WARNING, "the waiver of a declined template change does not hold",
    "The reason to live without the change was for a while.",
    "`crm upgrade` offers the change again; accept it or `crm upgrade waive` it anew.",
)  # fmt: skip
NO_LEDGER = Code(
    "CRM206", Severity.ERROR, "the ledger cannot be read",
    "Declined changes would be lost instead of coming back.",
    "`git checkout -- .crm-ledger.json`; it is committed and written by `crm` alone.",
)  # fmt: skip


def _find(view: RepoView) -> Iterator[Finding]:
    try:
        ledger = read_ledger(view.root)
    except ConfigError as error:
        yield NO_LEDGER.found(error.what, error.fix, LEDGER)
        ledger = ()
    yield from (_of_entry(view, entry) for entry in ledger if not entry.waived(view.today))
    try:
        files = _recorded(view)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield NO_RECORD.found(f"{RECORD}: {error!r}", f"git checkout -- {RECORD}", RECORD)
        return
    known = {entry.path for entry in ledger}
    for path, about in files.items():
        if about["owner"] == "managed" and path not in known and (found := _held(view, path, about["sha256"])):
            yield found


def _recorded(view: RepoView) -> dict[str, Any]:
    raw = view.read(RECORD)
    if raw is None:
        raise ValueError("there is none")
    files = json.loads(raw)["files"]
    for about in files.values():
        _ = about["owner"], about["sha256"]
    return dict(files)


def _held(view: RepoView, path: str, sha256: str) -> Finding | None:
    raw = view.read(path)
    if raw is None:
        told = _from_git(view, path, sha256)
        fix = partial(_restore, path=path, content=told) if told is not None else None
        mend = "crm check --fix" if fix else "crm upgrade"
        return GONE.found(f"{path} is managed by crm and is not there", mend, path, fix=fix)
    if hashlib.sha256(raw).hexdigest() == sha256:
        return None
    what = f"{path} is managed by crm and is not as the template made it; the ledger has no entry for it"
    return EDITED.found(what, f"git log -p -- {path} shows the edit: take it back, or run crm upgrade", path, 1)


def _of_entry(view: RepoView, entry: Declined) -> Finding:
    brought = f"{entry.path} keeps the text of {entry.base}: the change of {entry.to}"
    if entry.until:
        over = datetime.date.fromisoformat(entry.until) < view.today
        why = "" if over else ", which is too far ahead or without a person and a reason"
        return EXPIRED.found(f"{brought} was waived by {entry.by} until {entry.until}{why}", "crm upgrade", entry.path)
    return OPEN.found(f"{brought} was declined, without a reason", f"crm upgrade, or: crm upgrade waive {entry.path}",
                      entry.path)  # fmt: skip


def _from_git(view: RepoView, path: str, sha256: str) -> bytes | None:
    """The file as a commit has it, where that is what the template made."""
    for commit in (view.git("log", "-n", "20", "--format=%H", "--diff-filter=AM", "--", path) or "").split():
        told = view.git("show", f"{commit}:{path}")
        if told is not None and hashlib.sha256(told.encode()).hexdigest() == sha256:
            return told.encode()
    return None


def _restore(root: Path, path: str, content: bytes) -> None:
    with whole_file(root / path) as draft:
        draft.write_bytes(content)


RULE = Rule("files", (EDITED, GONE, NO_RECORD, OPEN, EXPIRED, NO_LEDGER), _find)
