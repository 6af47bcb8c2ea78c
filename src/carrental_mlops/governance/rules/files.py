"""Family 2: files of the template are as the template made them, or the ledger says why not."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.ledger import LEDGER, Declined, parse_ledger, read_ledger
from carrental_mlops.governance.mending import AsRendered, from_head, writing
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView
from carrental_mlops.scaffold.ownership import RECORD, read_record

EDITED = Code(
    "CRM201", Severity.ERROR, "a managed file was edited",
    "The package owns it: an edit that no ledger entry explains comes up again at every upgrade, and nobody knows why.",
    "Take the edit back, or move it to a place that is yours (`local.mk`, your own tests, crm.yaml). `crm upgrade` "
    "records in the ledger what must stay.",
    fixes="takes back what changed in ends of lines, blanks before them and the end of the file; any other edit is a "
    "person's.",
)  # fmt: skip
GONE = Code(
    "CRM202", Severity.ERROR, "a managed file is gone",
    "What it did is not done: a pipeline of CI, an ignored folder, a container.",
    "`crm check --fix` brings it back; `crm upgrade` records a deletion that must stay.",
    fixes="brings it back as the template made it: from git, else rendered anew with the installed version, where that "
    "gives the recorded text.",
)  # fmt: skip
NO_RECORD = Code(
    "CRM203", Severity.ERROR, "`.crm.json` is missing or unreadable",
    "Nobody can say which template and version the repo stands on, so no fix reaches it.",
    "`git checkout -- .crm.json`; it is committed and written by `crm` alone.",
    fixes="brings back what the last commit has, where the file is gone or empty and no merge is going on.",
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
    fixes="brings back what the last commit has, where the file is empty and no merge is going on.",
)  # fmt: skip
NOT_RUN = Code(
    "CRM207", Severity.ERROR, "a managed script may no longer be run",
    "CI and make stop with \"permission denied\".",
    "`chmod +x` it, and `git update-index --chmod=+x` where the file system keeps no modes.",
    fixes="makes it executable again.",
)  # fmt: skip
CODES = (EDITED, GONE, NO_RECORD, OPEN, EXPIRED, NO_LEDGER, NOT_RUN)


def _find(view: RepoView) -> Iterator[Finding]:
    try:
        ledger = read_ledger(view.root)
    except ConfigError as error:
        yield NO_LEDGER.found(error.what, error.fix, LEDGER, fix=from_head(view, LEDGER, _is_ledger))
        ledger = ()
    yield from (_of_entry(view, entry) for entry in ledger if not entry.waived(view.today))
    try:
        files = _recorded(view)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        mend = from_head(view, RECORD, lambda raw: bool(_files_of(raw)))
        yield NO_RECORD.found(f"{RECORD}: {error!r}", f"git checkout -- {RECORD}", RECORD, fix=mend)
        return
    known = {entry.path for entry in ledger}
    made = AsRendered(view, cache(partial(_rendered, view)))
    for path, about in files.items():
        if about["owner"] == "managed" and path not in known:
            yield from _held(view, path, about, made)


def _recorded(view: RepoView) -> dict[str, Any]:
    raw = view.read(RECORD)
    if raw is None:
        raise ValueError("there is none")
    return _files_of(raw)


def _files_of(raw: bytes) -> dict[str, Any]:
    files = json.loads(raw)["files"]
    for about in files.values():
        _ = about["owner"], about["sha256"]
    return dict(files)


def _held(view: RepoView, path: str, about: Mapping[str, Any], made: AsRendered) -> Iterator[Finding]:
    raw, sha256 = view.read(path), about["sha256"]
    if raw is None:
        fix = made.brought_back(path, sha256)
        mend = "crm check --fix" if fix else "crm upgrade"
        yield GONE.found(f"{path} is managed by crm and is not there", mend, path, fix=fix)
        return
    if hashlib.sha256(raw).hexdigest() != sha256:
        what = f"{path} is managed by crm and is not as the template made it; the ledger has no entry for it"
        mend = f"git log -p -- {path} shows the edit: take it back, or run crm upgrade"
        yield EDITED.found(what, mend, path, 1, fix=made.respaced(path, sha256))
    elif about.get("executable") and not (view.root / path).stat().st_mode & 0o100:
        yield NOT_RUN.found(f"{path} is not executable", f"chmod +x {path}", path, fix=writing(path, raw, True))


def _rendered(view: RepoView) -> dict[str, tuple[bytes, bool]]:
    """The repo's files as the installed version of its template makes them."""
    from carrental_mlops.scaffold.catalogue import template_dir
    from carrental_mlops.scaffold.rendering import Rendering

    told = read_record(view.root)
    with template_dir(told.template) as folder:
        made = Rendering(folder).rendered(told.answers)
    return {path: (file.content, file.executable) for path, file in made.items()}


def _is_ledger(raw: bytes) -> bool:
    try:
        return bool(parse_ledger(raw.decode("utf-8")))
    except (ConfigError, ValueError):
        return False


def _of_entry(view: RepoView, entry: Declined) -> Finding:
    brought = f"{entry.path} keeps the text of {entry.base}: the change of {entry.to}"
    if entry.until:
        over = datetime.date.fromisoformat(entry.until) < view.today
        why = "" if over else ", which is too far ahead or without a person and a reason"
        return EXPIRED.found(f"{brought} was waived by {entry.by} until {entry.until}{why}", "crm upgrade", entry.path)
    return OPEN.found(f"{brought} was declined, without a reason", f"crm upgrade, or: crm upgrade waive {entry.path}",
                      entry.path)  # fmt: skip


RULE = Rule("files", CODES, _find)
