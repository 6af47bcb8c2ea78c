"""What a newer version of the package means for the hooks that a repo overrides."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from carrental_mlops.core.deprecated import Change, notice
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.changelog import Entry, about, hook_entries
from carrental_mlops.upgrade.code import Found, body_names
from carrental_mlops.upgrade.contract_fit import Misfit, misfits, stale_calls
from carrental_mlops.upgrade.deprecations import declared
from carrental_mlops.upgrade.hook_diff import Hook, HookDiff, compare, default_diff
from carrental_mlops.upgrade.repo_overrides import (
    Override,
    RepoCode,
    lost_imports,
    own_names,
    package_chain,
)

Verdict = Literal["break", "unproven", "look", "fine"]
"""`break`: it will fail. `unproven`: the contract changed, and only a run can say. `look`: it works, and the default it
stands in for has changed or will go. `fine`: nothing of it has changed."""


@dataclass(frozen=True)
class OverrideFinding:
    """What the newer version means for one override, or for one name that the repo takes from the package."""

    verdict: Verdict
    place: str
    """`file:line` in the repo."""
    cls: str
    """The repo's class; empty where the finding is about no class."""
    hook: str
    """`TrainStep.sample_weight`; empty where the finding is about no hook."""
    old_signature: str = ""
    new_signature: str = ""
    changed: tuple[str, ...] = ()
    """Of the default: `signature`, `contract`, `behaviour`."""
    details: tuple[str, ...] = ()
    """What changed, a sentence each."""
    otherwise: str = ""
    """One sentence: what goes wrong, or is missed, if nobody acts."""
    mend: str = ""
    """One command or one edit."""
    changelog: tuple[str, ...] = ()
    """What it says under **Hook**, each with its version."""
    diff: str = ""
    """Unified diff of the default and of what it calls."""


@dataclass(frozen=True)
class OverrideReport:
    """Every override of a repo held against two versions."""

    old: str
    new: str
    findings: tuple[OverrideFinding, ...]
    dynamic: Any = None
    """A `dynamic_check.DynamicResult`, or None where the newer version was not run."""

    @property
    def blocking(self) -> tuple[OverrideFinding, ...]:
        """What has to be mended, or proven by a run, before the upgrade."""
        return tuple(f for f in self.findings if f.verdict in ("break", "unproven"))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ran = self.dynamic.to_json() if self.dynamic is not None else None
        return {
            "old": self.old,
            "new": self.new,
            "blocking": len(self.blocking),
            "findings": [asdict(finding) for finding in self.findings],
            "dynamic": ran,
        }

    def markdown(self) -> str:
        """The report as a section of a merge request."""
        from carrental_mlops.upgrade.override_text import markdown

        return markdown(self)


def report(root: Path, old: Material, new: Material, dynamic: Any = None) -> OverrideReport:
    """Hold each override of a repo against the newer version; reads sources, imports and writes nothing.

    Args:
        root: the model repo.
        old: the version that the repo stands on.
        new: the version to go to.
        dynamic: what `dynamic_check.run` found, which turns `unproven` into `look` or `break`.

    Raises:
        TemplateError: the newer version declares a change that this `crm` does not know.
    """
    changes = declared(new)
    findings = _findings(root, old, new, changes)
    if changes and any(f.verdict == "break" for f in findings):
        findings = _mended_by_codemod(root, old, new, changes, findings)
    if dynamic is not None:
        findings = [*(dynamic.judged(f) for f in findings), *dynamic.beyond(findings)]
    order = {"break": 0, "unproven": 1, "look": 2, "fine": 3}
    findings.sort(key=lambda f: (order[f.verdict], f.place, f.hook))
    return OverrideReport(old.version, new.version, tuple(findings), dynamic)


def _findings(root: Path, old: Material, new: Material, changes: tuple[Change, ...]) -> list[OverrideFinding]:
    moved = {change.of: change.new for change in changes if change.kind == "moved_import"}
    before, after = RepoCode(root, old), RepoCode(root, new, moved)
    held = _Held(before, after, changes, hook_entries(new.changelog, old.version, new.version))
    found = [*held.overrides(), *held.calls(), *held.taken_names(), *held.imports()]
    for broken in before.code.unreadable.values():
        if broken.shown.split("/")[0] != "carrental_mlops":
            what = f"nobody can see which hooks this file overrides: {broken.why}"
            place = f"src/{broken.shown}:{broken.line}"
            found.append(OverrideFinding("break", place, "", "", otherwise=what, mend="mend the syntax there"))
    return found


class _Held:
    """A repo's code under two versions."""

    def __init__(self, old: RepoCode, new: RepoCode, changes: tuple[Change, ...], entries: list[Entry]) -> None:
        self.old, self.new, self.changes, self.entries = old, new, changes, entries
        self.version = new.version.version
        self.before = {(o.place, o.hook.name): o for o in old.overrides}
        self.after = {(o.place, o.hook.name): o for o in new.overrides}

    def overrides(self) -> Iterator[OverrideFinding]:
        """One finding for each override that the old version knows."""
        for key, override in self.before.items():
            now = self.after.get(key)
            if now is None:
                yield self._gone(override)
            else:
                yield self._kept(override, override.hook, now)
        for now in self.after.values():
            former = self._former(now)
            if former is not None:
                yield self._kept(now, former, now)

    def _former(self, now: Override) -> Hook | None:
        """The hook as it was called before, of an override that has the new name already."""
        renamed = [c for c in self.changes if c.kind == "renamed_hook"]
        names = [c.hook for c in renamed if (c.owner, c.new) == (now.hook.owner, now.hook.name)]
        known = [self.old.hooks(chain) for cls, chain in self.old.classes if cls.name in now.classes]
        return next((hooks[name] for hooks in known for name in names if name in hooks), None)

    def _gone(self, override: Override) -> OverrideFinding:
        hook = override.hook
        change = self._change(hook)
        instead = f"is called `{change.new}` now" if change and change.new else "is gone"
        edit = f"rename the method to `{change.new}`" if change and change.new else (change.advice if change else "")
        what = f"every `crm` command that imports the repo stops with OverrideError: hook `{hook.name}` {instead}"
        new = self._new_hook(change) if change else None
        diff = compare(hook, new) if new else HookDiff(("the hook is gone",))
        base = self._finding(override, hook, "break", diff, new)
        edit = edit or f"move what it does into another hook (crm hooks), and remove `{hook.name}`"
        return replace(base, otherwise=what, mend=f"{override.place}: {edit}")

    def _kept(self, override: Override, old: Hook, now: Override) -> OverrideFinding:
        new = now.hook
        diff = compare(old, new)
        wrong = list(misfits(self.new.code, now, old, new, self.version))
        certain = [misfit for misfit in wrong if misfit.certain]
        told = notice(new.owner, new.name, self.changes)
        verdict: Verdict = "break" if certain else "unproven" if wrong else "look" if diff.kinds or told else "fine"
        base = self._finding(override, old, verdict, diff, new)
        if told:
            base = replace(base, details=(*base.details, told))
        if wrong:
            first = (certain or wrong)[0]
            return replace(base, otherwise=first.otherwise, mend=f"{override.place}: {first.edit}")
        if diff.kinds == ("signature",) and {p.name for p in old.parameters} != {p.name for p in new.parameters}:
            method = f"{override.method.owner.name}.{new.name}"
            what = f"`{method}` takes the new arguments already, and its answer is still allowed"
            mend = f"{override.place}: see that it takes each for what it is, and leave it as it is"
            return replace(base, otherwise=what, mend=mend)
        if diff.kinds:
            what = f"this repo keeps what `{override.method.owner.name}` does, and gets nothing of the change"
            mend = f"{override.place}: take over what applies of {new.place} in {self.version}, or leave it as it is"
            return replace(base, otherwise=what, mend=mend)
        return replace(base, otherwise=told or "", mend=f"{override.place}: {told.partition(': ')[2]}" if told else "")

    def calls(self) -> Iterator[OverrideFinding]:
        """Calls of hooks with arguments that the newer version does not take."""
        chains = {cls.key: chain for cls, chain in self.new.classes}
        for cls, chain in self.old.classes:
            now = self.new.hooks(chains[cls.key]) if cls.key in chains else {}
            for hook, misfit in stale_calls(cls, self.old.hooks(chain), now):
                if cls.key in chains:
                    yield self._call(cls, hook, misfit, now)

    def _call(self, cls: Found, hook: Hook, misfit: Misfit, now: dict[str, Hook]) -> OverrideFinding:
        name = f"{hook.owner}.{hook.name}"
        new = f"{hook.name}{now[hook.name].signature}" if hook.name in now else ""
        old, mend = f"{hook.name}{hook.signature}", f"{misfit.place}: {misfit.edit}"
        return OverrideFinding("break", misfit.place, cls.name, name, old, new, otherwise=misfit.otherwise, mend=mend)

    def taken_names(self) -> Iterator[OverrideFinding]:
        """Names of the repo's classes that the newer version's classes have and the old one's had not."""
        chains = {cls.key: chain for cls, chain in self.old.classes}
        for cls, chain in self.new.classes:
            before = chains.get(cls.key, [])
            had = _closed_names(before) | self.old.hooks(before).keys()
            opened = self.new.hooks(chain)
            had |= {c.new for c in self.changes if c.kind == "renamed_hook"} & opened.keys()
            for name, method in own_names(chain).items():
                if name in (_closed_names(chain) | opened.keys()) - had and method.owner is cls:
                    kind = f"overrides the new hook `{name}` unasked" if name in opened else "hides a name of the base"
                    what = f"`{cls.name}.{name}` {kind}, and the import may stop with OverrideError"
                    new = f"{name}{opened[name].signature}" if name in opened else ""
                    place, hook = f"src/{method.place}", f"{opened[name].owner}.{name}" if name in opened else ""
                    mend = f"{place}: give `{name}` another name"
                    yield OverrideFinding("break", place, cls.name, hook, "", new, otherwise=what, mend=mend)

    def imports(self) -> Iterator[OverrideFinding]:
        """Imports from the package that the newer version does not have."""
        for lost in lost_imports(self.old, self.new):
            whole = f"{lost.module}:{lost.name}" if lost.name else lost.module
            line = f"from {lost.module} import {lost.name}" if lost.name else f"import {lost.module}"
            moved = {c.of: c.new for c in self.changes if c.kind == "moved_import"}
            target = moved.get(whole) or moved.get(lost.module)
            mend = (
                f"import it from {target.partition(':')[0]}" if target else "see the changelog for what stands for it"
            )
            what = f"`{line}` raises ImportError, and no command of `crm` can read the repo"
            yield OverrideFinding("break", lost.place, "", "", otherwise=what, mend=f"{lost.place}: {mend}")

    def _finding(
        self, override: Override, hook: Hook, verdict: Verdict, diff: HookDiff, new: Hook | None
    ) -> OverrideFinding:
        names = dict.fromkeys([hook.name, *([new.name] if new else [])])
        entries = dict.fromkeys(e for name in names for e in about(self.entries, hook.owner, name))
        return OverrideFinding(
            verdict,
            override.place,
            ", ".join(override.classes),
            f"{hook.owner}.{hook.name}",
            f"{hook.name}{hook.signature}",
            f"{new.name}{new.signature}" if new else "",
            diff.kinds,
            (*diff.signature, *diff.contract, *(f"behaviour: {part}" for part in diff.behaviour)),
            changelog=tuple(f"{entry.version}: {entry.text}" for entry in entries),
            diff=default_diff(hook, new, (self.old.version.version, self.version)) if new and diff.kinds else "",
        )

    def _change(self, hook: Hook) -> Change | None:
        kinds = ("renamed_hook", "removed_hook")
        return next((c for c in self.changes if c.kind in kinds and c.of == f"{hook.owner}.{hook.name}"), None)

    def _new_hook(self, change: Change) -> Hook | None:
        known = [self.new.hooks(chain) for _, chain in self.new.classes]
        return next((h[change.new] for h in known if change.new in h and h[change.new].owner == change.owner), None)


def _closed_names(chain: list[Found | str]) -> set[str]:
    """What the package's classes keep for themselves: methods and private names; other values a team may set."""
    named = [item for base in package_chain(chain) for item in body_names(base.node).items()]
    return {name for name, node in named if name.startswith("_") or isinstance(node, ast.FunctionDef)}


def _mended_by_codemod(
    root: Path, old: Material, new: Material, changes: tuple[Change, ...], found: list[OverrideFinding]
) -> list[OverrideFinding]:
    """`found`, with the codemod as the mend of each break that is gone once it has rewritten a copy of the repo."""
    from carrental_mlops.upgrade import codemod

    try:
        plan = codemod.plan(root, old, new)
    except codemod.NotInstalled:
        return found
    if not plan.files:
        return found
    with codemod.rewritten(root, plan) as copy:
        left = {(f.cls, f.hook, f.otherwise) for f in _findings(copy, old, new, changes) if f.verdict == "break"}
        still = {(cls, hook) for cls, hook, _ in left if hook} | {otherwise for _, hook, otherwise in left if not hook}
    return [
        replace(f, mend=codemod.COMMAND)
        if f.verdict == "break" and ((f.cls, f.hook) if f.hook else f.otherwise) not in still
        else f
        for f in found
    ]
