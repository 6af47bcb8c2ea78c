"""What became of one case of the torture table, judged in the same way for every tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torture_notation import Files, State, over, state_of, words
from torture_table import BASE, CHANGES, CONFLICT, REFUSED, TABLE, edit_of

Verdict = Literal[
    "passed", "asked", "refused", "otherwise", "change lost", "edit undone", "edit lost", "half-merged"
]  # fmt: skip
MEANINGS: Mapping[Verdict, str] = {
    "passed": "as the table says",
    "asked": "a conflict is shown where both fit together; nothing is lost",
    "refused": "the tool says that it cannot, and changes nothing, where both fit together",
    "otherwise": "not as the table says, with no text lost (a file twice, or in another place)",
    "change lost": "the template's change is missing, and neither exit code nor conflict says so",
    "edit undone": "a team's rename, deletion, mode, link or line ends are reverted in silence",
    "edit lost": "a team's text is in no file, conflict or reject any more",
    "half-merged": "the tool fails midway: files are changed, no conflict is shown, nothing goes on or back",
}
_CRLF = b"\r\n"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Result:
    """A repo after a tool ran in it, without the tool's own record."""

    before: State
    after: State
    shown: bool
    """A conflict can be seen: unmerged in the index, markers, or a reject file."""
    staged: bytes
    """What the index holds of the sides of a conflict."""
    failed: bool
    """The tool said that it could not."""


def verdict(change: str, edit: str, result: Result) -> Verdict:
    """Judge one case."""
    expected = TABLE[change][edit]
    wanted = None if isinstance(expected, str) else state_of(over(BASE, expected))
    if result.after == result.before and not result.shown:
        if (expected == REFUSED and result.failed) or (wanted == result.after and not result.failed):
            return "passed"
        return "refused" if result.failed else "change lost"
    if _missing(_said(edit_of(edit), "ours"), result):
        return "edit lost"
    if result.shown:
        return _of_conflict(change, edit, expected, result)
    if result.failed:
        return "half-merged"
    if wanted is None:
        return _of_silence(change, edit, result)
    return "passed" if result.after == wanted else _of_merge(change, edit, wanted, result)


def _of_conflict(change: str, edit: str, expected: Files | str, result: Result) -> Verdict:
    if _missing(_said(CHANGES[change], "theirs"), result):
        return "change lost"
    return "passed" if expected == CONFLICT else "asked"


def _of_silence(change: str, edit: str, result: Result) -> Verdict:
    """Where a conflict, or a refusal, was to be shown."""
    if any(result.after.get(path) != result.before.get(path) for path in edit_of(edit)):
        return "edit undone"
    return "change lost" if _missing(_said(CHANGES[change], "theirs"), result) else "otherwise"


def _of_merge(change: str, edit: str, wanted: State, result: Result) -> Verdict:
    mine, theirs = state_of(over(BASE, edit_of(edit))), state_of(over(BASE, CHANGES[change]))
    if _missing({w for w in _all_words(wanted) if w.startswith("theirs")}, result):
        return "change lost"
    found: set[Verdict] = set()
    for path in sorted({*wanted, *result.after}):
        want, have = _facets(wanted.get(path)), _facets(result.after.get(path))
        team = mine if want[0] else state_of(over(BASE))  # a file of the team's own in another place is nothing lost
        for number, (one, other) in enumerate(zip(want, have, strict=False)):
            if one != other and have[0]:
                by_template, by_team = (_facets(side.get(path))[number : number + 1] for side in (theirs, team))
                found |= {"edit undone"} if (one,) != by_template else {"change lost"} if (one,) != by_team else set()
    return "edit undone" if "edit undone" in found else "change lost" if found else "otherwise"


def _facets(file: tuple[str, bytes] | None) -> tuple[object, ...]:
    """What can be reverted in a file: that it is there, its kind, line ends, last byte, and which words it has."""
    if file is None:
        return (False,)
    kind, content = file
    return (
        True,
        kind,
        kind != "link" and _CRLF in content,
        content[-1:],
        sorted(re.findall(rb"\b[a-z]+\d+\b", content)),
    )


def _said(files: Files, who: str) -> set[str]:
    return {word for said in files.values() if said for word in words(said) if word.startswith(who)}


def _all_words(state: State) -> Iterable[str]:
    text = b"\n".join(content for _, content in state.values())
    return (word.decode() for word in re.findall(rb"\b(?:ours|theirs)\d+\b", text))


def _missing(said: Iterable[str], result: Result) -> bool:
    text = b"\n".join((*(content for _, content in result.after.values()), result.staged))
    return any(not re.search(rb"\b%s\b" % word.encode(), text) for word in said)
