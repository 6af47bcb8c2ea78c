"""Every hook of a version, what changed of them between two, and announced ends that have passed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from carrental_mlops.core.deprecated import Change
from carrental_mlops.scaffold.versions import PACKAGE, Material
from carrental_mlops.upgrade.behaviour import is_hook
from carrental_mlops.upgrade.changelog import version_key
from carrental_mlops.upgrade.code import Code, Found, body_names, classes_of
from carrental_mlops.upgrade.deprecations import declared
from carrental_mlops.upgrade.hook_diff import Hook, compare, hooks

What = Literal["added", "removed", "renamed", "changed", "default"]
"""`default`: the contract is as it was, and the default does something else."""


@dataclass(frozen=True)
class HookChange:
    """What became of one hook."""

    hook: str
    """`TrainStep.sample_weight`, by its name before."""
    what: What
    old_signature: str = ""
    new_signature: str = ""
    details: tuple[str, ...] = ()
    new: str = ""
    """Its name now, where it was renamed."""

    @property
    def breaks(self) -> bool:
        """Whether an override that was right may not be any more."""
        return self.what in ("removed", "renamed", "changed")


def package_hooks(version: Material) -> dict[str, Hook]:
    """`Class.hook` to what the class that opened it says of it, sorted.

    Raises:
        SyntaxError: a file of the version does not parse.
    """
    code = Code(((version.root, PACKAGE),))
    found: dict[str, Hook] = {}
    for cls in _opening_classes(version, code):
        known = hooks(code, code.chain(cls))
        found |= {f"{h.owner}.{name}": h for name, h in known.items() if h.owner == cls.name}
    for broken in code.unreadable.values():
        raise SyntaxError(f"{version.version}: {broken.shown}:{broken.line}: {broken.why}")
    return dict(sorted(found.items()))


def hook_changes(old: Material, new: Material) -> list[HookChange]:
    """What became of every hook from one version to another, sorted; unchanged ones are left out."""
    before, after = package_hooks(old), package_hooks(new)
    renamed = {c.of: f"{c.owner}.{c.new}" for c in declared(new) if c.kind == "renamed_hook"}
    found = [_change(name, hook, after, renamed.get(name, "")) for name, hook in before.items()]
    taken = set(renamed.values()) & {change.new for change in found if change is not None}
    made = [HookChange(n, "added", "", h.signature) for n, h in after.items() if n not in before and n not in taken]
    return sorted([*(change for change in found if change is not None), *made], key=lambda c: c.hook)


def overdue(version: Material, changes: tuple[Change, ...] | None = None) -> list[str]:
    """What a version still has though its end is announced for that version or an earlier one; a sentence each.

    Args:
        version: whose sources are read.
        changes: what is announced; None: what the version itself declares.
    """
    told = []
    for change in declared(version) if changes is None else changes:
        if change.removed_in and version_key(change.removed_in) <= version_key(change.since):
            told.append(f"`{change.of}` is removed in {change.removed_in}, and {change.since} announces it")
        until = change.removed_in or change.since
        if version_key(until) <= version_key(version.version) and (place := _place_of(change, version)):
            told.append(f"{place}: `{change.of}` was to be gone in {until}, and {version.version} has it")
    return told


def _place_of(change: Change, version: Material) -> str:
    """Where the version has what a change ends; empty where it is gone, or the change ends no name."""
    if change.kind in ("renamed_hook", "removed_hook"):
        hook = package_hooks(version).get(change.of)
        return hook.place if hook else ""
    if change.kind != "moved_import":
        return ""
    name, _, inner = change.of.partition(":")
    module = Code(((version.root, PACKAGE),)).module(name)
    return module.shown if module is not None and (not inner or inner in module.names) else ""


def _opening_classes(version: Material, code: Code) -> Iterator[Found]:
    for path in sorted(version.package.rglob("*.py")):
        parts = path.relative_to(version.root).with_suffix("").parts
        if "_assets" in parts or "__pycache__" in parts or b"hook" not in path.read_bytes():
            continue
        module = code.module(".".join(parts).removesuffix(".__init__"))
        for cls in classes_of(module) if module else ():
            nodes = [n for n in body_names(cls.node).values() if isinstance(n, ast.FunctionDef)]
            if any(is_hook(decorator) for node in nodes for decorator in node.decorator_list):
                yield cls


def _change(name: str, old: Hook, after: dict[str, Hook], renamed: str) -> HookChange | None:
    if name not in after:
        new = after.get(renamed)
        if new is None:
            return HookChange(name, "removed", old.signature, details=("it is gone",))
        diff = compare(old, new)
        details = (f"it is called `{new.name}` now", *diff.signature, *diff.contract)
        return HookChange(name, "renamed", old.signature, new.signature, details, renamed)
    new = after[name]
    diff = compare(old, new)
    if not diff.kinds:
        return None
    what: What = "changed" if diff.signature or diff.contract else "default"
    default = tuple(f"the default differs in {part}" for part in diff.behaviour)
    return HookChange(name, what, old.signature, new.signature, (*diff.signature, *diff.contract, *default))
