"""Who answers for a finding that stands: config/waivers.yaml."""

from __future__ import annotations

import datetime
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.governance.families import CODE
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.mending import editing
from carrental_mlops.governance.rule import Code
from carrental_mlops.governance.view import RepoView

WAIVERS = "config/waivers.yaml"
LONGEST = datetime.timedelta(days=180)
"""A waiver that holds for longer is refused, one of the ledger too."""
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")
"""A path that YAML reads as it stands."""
_MOST_RENAMES = 5
"""Of one file that are followed."""
LEAST_REASON = 10
"""Letters of a waiver's reason."""

BROKEN = Code(
    "CRM105", Severity.ERROR, "the waivers cannot be read",
    "None of them counts: a waiver that nobody can read is no answer.",
    f"Each entry has `code`, `person`, `reason` ({LEAST_REASON} letters at least), "
    f"`until` (a date, {LONGEST.days} days ahead at most), and may have `path`.",
)  # fmt: skip
EXPIRED = Code(
    "CRM106", Severity.ERROR, "a waiver has expired",
    "Its finding counts again; what was put up with for a while was not mended.",
    "Mend what it waived and remove the entry, or let a person answer for it again.",
)  # fmt: skip
UNUSED = Code(
    "CRM107", Severity.NOTE, "a waiver waives nothing",
    "What is no longer found would be let through unseen if it came back.",
    "Remove the entry.",
    fixes="writes the new name into `path` where git saw that file renamed; an entry is removed by a person.",
)  # fmt: skip
CODES = (BROKEN, EXPIRED, UNUSED)


class Waiver(Frozen):
    """A person's word for findings of one code."""

    code: Annotated[str, Field(pattern=CODE)]
    person: str = Field(min_length=3)
    """Who answers for it: a person, not a team."""
    reason: str = Field(min_length=LEAST_REASON)
    until: datetime.date
    """The last day on which it holds."""
    path: str = "*"
    """Of the findings that it waives, `*` and `?` for what may be there; unset: any."""

    def covers(self, finding: Finding) -> bool:
        """Whether it speaks of `finding`; what is wrong with waivers themselves cannot be waived."""
        own = finding.code in {code.number for code in CODES}
        return finding.code == self.code and not own and fnmatch.fnmatchcase(finding.path or "", self.path)


@dataclass(frozen=True)
class Sorted:
    """Findings with the waivers applied."""

    standing: tuple[Finding, ...]
    waived: tuple[tuple[Finding, Waiver], ...]


def apply(view: RepoView, findings: Sequence[Finding], whole: bool) -> Sorted:
    """Findings that stand, those of the waivers themselves among them, and those that are waived.

    Args:
        view: the repo.
        findings: of all rules.
        whole: whether every rule was asked, so that a waiver without a finding is known to waive nothing.
    """
    held, own = read(view)
    waived = tuple((f, w) for f in findings if (w := next((w for w in held if w.covers(f)), None)) is not None)
    covered = {id(finding) for finding, _ in waived}
    used = {id(waiver) for _, waiver in waived}
    if whole:
        own += [_unused(view, waiver) for waiver in held if id(waiver) not in used]
    return Sorted((*(f for f in findings if id(f) not in covered), *own), waived)


def followed(text: str, moves: Mapping[str, str]) -> str:
    """The text of `config/waivers.yaml` with each entry's `path` as its file is now called; all else is as it was.

    Args:
        text: of the file; one that is no YAML comes back as it is.
        moves: old path to new one, of files that were renamed. A `path` with `*` or `?` is left alone.
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return text
    entries = root.value if isinstance(root, yaml.SequenceNode) else []
    pairs = (pair for entry in entries if isinstance(entry, yaml.MappingNode) for pair in entry.value)
    named = [v for k, v in pairs if k.value == "path" and isinstance(v, yaml.ScalarNode) and v.value in moves]
    for node in reversed(named):
        new = moves[node.value]
        said = new if _PLAIN.fullmatch(new) and not node.style else json.dumps(new, ensure_ascii=False)
        text = text[: node.start_mark.index] + said + text[node.end_mark.index :]
    return text


def _unused(view: RepoView, waiver: Waiver) -> Finding:
    line = view.line_of(WAIVERS, waiver.code)
    what = f"nothing is found that the waiver of {waiver.code} by {waiver.person} waives"
    now = _renamed(view, waiver.path)
    if now is None:
        return UNUSED.found(what, "remove it", WAIVERS, line)
    fix = editing(WAIVERS, lambda text: followed(text, {waiver.path: now}))
    return UNUSED.found(f"{what}: {waiver.path} was renamed to {now}", f"path: {now}", WAIVERS, line, fix=fix)


def _renamed(view: RepoView, path: str) -> str | None:
    """What the file at `path` is called today, as git's commits say; None where it is there, or git does not know."""
    at = path
    for _ in range(_MOST_RENAMES):
        if at in view.files or set(at) & set("*?["):
            break
        commit = (view.git("log", "-1", "--format=%H", "--diff-filter=D", "--", at) or "").strip()
        told = view.git("show", "-M", "--format=", "--name-status", "--diff-filter=R", "-z", commit) if commit else ""
        parts = (told or "").split("\0")
        moves = dict(zip(parts[1::3], parts[2::3], strict=False))
        if at not in moves:
            return None
        at = moves[at]
    return at if at != path and at in view.files else None


def read(view: RepoView) -> tuple[list[Waiver], list[Finding]]:
    """The waivers that hold today, and what is wrong with the file; none holds where it cannot be read."""
    import yaml

    raw = view.read(WAIVERS)
    if raw is None:
        return [], []
    try:
        given = TypeAdapter(list[Waiver]).validate_python(yaml.safe_load(raw) or [])
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        said = str(getattr(error, "problem", None) or error)
        return [], [BROKEN.found(f"not YAML: {said}", "mend the YAML at that line", WAIVERS, line or None)]
    except ValidationError as error:
        return [], [_broken(dict(detail)) for detail in error.errors()]
    wrong = list(_too_long(view, given))
    past = [one for one in given if one.until < view.today]
    wrong += [
        EXPIRED.found(f"the waiver of {one.code} by {one.person} ended on {one.until}: {one.reason}",
                      "mend what it waived and remove it, or renew `until`", WAIVERS, view.line_of(WAIVERS, one.code))
        for one in past
    ]  # fmt: skip
    latest = view.today + LONGEST
    return [one for one in given if view.today <= one.until <= latest], wrong


def _too_long(view: RepoView, given: Sequence[Waiver]) -> Iterator[Finding]:
    latest = view.today + LONGEST
    for one in given:
        if one.until > latest:
            what = f"the waiver of {one.code} by {one.person} holds until {one.until}, longer than {LONGEST.days} days"
            yield BROKEN.found(what, f"let it end by {latest}", WAIVERS, view.line_of(WAIVERS, one.code))


def _broken(detail: dict[str, object]) -> Finding:
    where = ".".join(str(part) for part in detail["loc"])  # type: ignore[attr-defined]
    unknown = detail["type"] == "extra_forbidden"
    said = "unknown key" if unknown else str(detail["msg"])
    return BROKEN.found(f"entry {where or 'list'}: {said}", "an entry has code, person, reason, until, path", WAIVERS)
