"""What of the public API was renamed, moved or removed: data that the override report, the codemod and the guard read.

`crm upgrade` reads `CHANGES` of the newer version from its source, so each entry is a call with plain values:

    CHANGES = (
        renamed_hook("TrainStep.weights", "sample_weight", since="0.2", removed_in="1.0"),
        added_argument("TrainStep.sample_weight", "seed", annotation="int", since="0.2"),
    )
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["renamed_hook", "removed_hook", "renamed_argument", "added_argument", "removed_argument", "moved_import"]


@dataclass(frozen=True)
class Change:
    """One change that a team's code has to follow."""

    kind: Kind
    of: str
    """`Class.hook`, the class being the one that opened it; for `moved_import` the old `module` or `module:name`."""
    since: str
    """The version that brought it."""
    removed_in: str = ""
    """The version from which the old name is gone; empty where it is gone since `since`."""
    old: str = ""
    """The argument's name before."""
    new: str = ""
    """The hook's or the argument's name now; for `moved_import` the new `module` or `module:name`."""
    annotation: str = ""
    """Type of an added argument, as an override is to write it."""
    imports: tuple[str, ...] = ()
    """Import lines that the annotation needs."""
    advice: str = ""
    """What to do instead of a removed hook: one sentence."""

    @property
    def owner(self) -> str:
        """The class that opened the hook."""
        return self.of.partition(".")[0]

    @property
    def hook(self) -> str:
        """The hook, by its name before."""
        return self.of.partition(".")[2]


def renamed_hook(of: str, new: str, *, since: str, removed_in: str = "") -> Change:
    """Hook `of` is called `new` from version `since` on; the old name is a hook until `removed_in`.

    Nothing passes a call on by itself: until then the old hook stays with its default, and the default of `new` is
    `return call(self.<old>, …)`, so that an override of either name answers.
    """
    return Change("renamed_hook", of, since, removed_in, new=new)


def removed_hook(of: str, *, since: str, removed_in: str = "", advice: str) -> Change:
    """Hook `of` is no longer asked, from `removed_in` on; `advice` says what does its job."""
    return Change("removed_hook", of, since, removed_in, advice=advice)


def renamed_argument(of: str, old: str, new: str, *, since: str) -> Change:
    """Hook `of` gets `new` where it got `old`."""
    return Change("renamed_argument", of, since, old=old, new=new)


def added_argument(of: str, new: str, *, annotation: str, since: str, imports: tuple[str, ...] = ()) -> Change:
    """Hook `of` gets one more argument, whose type is written `annotation` and needs the lines `imports`."""
    return Change("added_argument", of, since, new=new, annotation=annotation, imports=imports)


def removed_argument(of: str, old: str, *, since: str) -> Change:
    """Hook `of` no longer gets `old`."""
    return Change("removed_argument", of, since, old=old)


def moved_import(of: str, new: str, *, since: str, removed_in: str = "") -> Change:
    """A module or `module:name` is imported from elsewhere; the old place answers until `removed_in`."""
    return Change("moved_import", of, since, removed_in, new=new)


CHANGES: tuple[Change, ...] = ()
"""Oldest first."""


def notice(owner: str, hook: str, changes: tuple[Change, ...] | None = None) -> str | None:
    """What whoever overrides a hook is to know of its end, or None where it has none.

    Args:
        owner: the class that opened the hook.
        hook: its name.
        changes: None for those of this version.
    """
    for change in CHANGES if changes is None else changes:
        if change.of == f"{owner}.{hook}" and change.kind in ("renamed_hook", "removed_hook") and change.removed_in:
            instead = f"rename your method to `{change.new}`" if change.new else change.advice
            return f"hook `{change.of}` is removed in {change.removed_in}: {instead}"
    return None
