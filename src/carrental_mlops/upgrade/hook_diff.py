"""The default of one hook in two versions: what of it has changed for those who override it."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from carrental_mlops.upgrade.behaviour import Behaviour, behaviour, is_hook
from carrental_mlops.upgrade.code import Code, Found, Method, body_names, dotted_name

_DEPTH = 5
"""Aliases of types that are followed."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a hook or of an override."""

    name: str
    required: bool
    annotation: str
    """As written; empty where there is none."""


@dataclass(frozen=True)
class Hook:
    """The contract of a hook and its default in one version, read from the sources."""

    owner: str
    """The class that opened it."""
    name: str
    place: str
    """`file:line` of the default."""
    signature: str
    """`(self, *, rows: pd.DataFrame) -> NDArray[np.float64] | None`, as written."""
    parameters: tuple[Parameter, ...]
    returns: frozenset[str]
    """The types that an answer may have, each in one spelling, aliases resolved."""
    arguments: frozenset[str]
    """The same of each argument: `rows: pandas.DataFrame`."""
    promise: str
    """The sentence on what an override must return."""
    check: str
    """Digest of the function that checks an answer; empty where none does."""
    default: Behaviour


@dataclass(frozen=True)
class HookDiff:
    """What changed between two versions of a hook; all empty where nothing did."""

    signature: tuple[str, ...] = ()
    contract: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    """What of the default does something else now, each with its place."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """`signature`, `contract`, `behaviour`: those that changed."""
        return tuple(kind for kind in ("signature", "contract", "behaviour") if getattr(self, kind))


def hooks(code: Code, chain: Sequence[Found | str]) -> dict[str, Hook]:
    """Every hook that a class has, by name.

    Args:
        code: where names are looked up.
        chain: the class and its bases, nearest first; only those of the package are to be in it.
    """
    opened: dict[str, Method] = {}
    for base in reversed([base for base in chain if isinstance(base, Found)]):
        for name, node in body_names(base.node).items():
            if name not in opened and isinstance(node, ast.FunctionDef) and any(map(is_hook, node.decorator_list)):
                opened[name] = Method(base, name, node)
    return {name: _hook(code, chain, method) for name, method in opened.items()}


def compare(old: Hook, new: Hook) -> HookDiff:
    """What changed from `old` to `new`; formatting, comments, docstrings and moved helpers do not count."""
    signature = []
    if [(p.name, p.required) for p in old.parameters] != [(p.name, p.required) for p in new.parameters]:
        signature.append(f"arguments were {_names(old)}, are {_names(new)}")
    if old.arguments != new.arguments and not signature:
        signature.append(f"arguments are {', '.join(sorted(new.arguments - old.arguments))}")
    if old.returns != new.returns:
        signature.append(f"returned {spelt(old.returns)}, returns {spelt(new.returns)}")
    contract = []
    if old.promise != new.promise:
        contract.append(f"must return: {new.promise} (was: {old.promise})")
    if old.check != new.check:
        contract.append("the check of an answer " + ("is gone" if not new.check else "differs"))
    changed = old.default.digest != new.default.digest
    return HookDiff(tuple(signature), tuple(contract), _changed(old.default, new.default) if changed else ())


def default_diff(old: Hook, new: Hook, versions: tuple[str, str]) -> str:
    """Unified diff of the default, and of what it reaches that does something else now.

    Args: `versions`, the names of the old and the new one, for the heads.
    """
    before, after = old.default.parts, new.default.parts
    keys = dict.fromkeys([*after, *before])
    made: list[str] = []
    for n, key in enumerate(keys):
        one, other = before.get(key), after.get(key)
        if n and one is not None and other is not None and one.text == other.text:
            continue
        lines = [part.source.splitlines() if part else [] for part in (one, other)]
        files = [part.place.rpartition(":")[0] if part else "/dev/null" for part in (one, other)]
        titles = [f"{file} {version}" for file, version in zip(files, versions, strict=True)]
        made += difflib.unified_diff(lines[0], lines[1], titles[0], titles[1], lineterm="")
    return "\n".join(made)


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[Parameter, ...]:
    """The arguments after `self`, `*args` and `**kwargs` left out."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    first = len(plain) - len(given.defaults)
    found = [Parameter(a.arg, n < first, _text(a.annotation)) for n, a in enumerate(plain)][1:]
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return (*found, *(Parameter(a.arg, default is None, _text(a.annotation)) for a, default in pairs))


def signature_text(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """`(self, *, rows: pd.DataFrame) -> None` on one line."""
    return f"({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def types_of(code: Code, scope: Found, annotation: ast.expr | None) -> frozenset[str]:
    """The parts of a union, each spelt with its outside names in full and our classes by their bare name."""
    return frozenset(_union(code, scope, annotation, _DEPTH)) if annotation is not None else frozenset()


def spelt(types: frozenset[str]) -> str:
    """`A | None`, to read."""
    return " | ".join(sorted(types, key=lambda text: (text == "None", text))) or "anything"


def _hook(code: Code, chain: Sequence[Found | str], opened: Method) -> Hook:
    node, scope = opened.node, opened.owner
    assert isinstance(node, ast.FunctionDef)  # noqa: S101 - `hooks` took no other
    given = {w.arg: w.value for d in node.decorator_list if isinstance(d, ast.Call) and is_hook(d) for w in d.keywords}
    default = code.method(chain, opened.name) or opened
    annotated = [a for a in (*node.args.args[1:], *node.args.kwonlyargs) if a.annotation]
    return Hook(
        scope.name,
        opened.name,
        default.place,
        signature_text(node),
        parameters(node),
        types_of(code, scope, node.returns),
        frozenset(f"{a.arg}: {spelt(types_of(code, scope, a.annotation))}" for a in annotated),
        _constant(given.get("returns")),
        _check(code, scope, given.get("check")),
        behaviour(code, default, chain),
    )


def _check(code: Code, scope: Found, node: ast.expr | None) -> str:
    dotted = dotted_name(node) if node is not None else None
    found = code.find(scope.module, dotted) if dotted else None
    if isinstance(found, Found):
        return behaviour(code, found).digest
    return ast.unparse(node) if node is not None else ""


def _changed(old: Behaviour, new: Behaviour) -> tuple[str, ...]:
    before, after = {n: p.text for n, p in old.parts.items()}, {n: p.text for n, p in new.parts.items()}
    moved = set(before.values()) & set(after.values())
    told = [f"{_bare(n)} ({new.parts[n].place})" for n, text in after.items() if n in before and before[n] != text]
    told += [f"{_bare(n)} ({new.parts[n].place}), new" for n in after if n not in before and after[n] not in moved]
    told += [f"{_bare(n)}, no longer used" for n in before if n not in after and before[n] not in moved]
    return tuple(told) or (f"what {_bare(next(iter(new.parts)))} calls",)


def _bare(key: str) -> str:
    return f"`{key.rpartition(':')[2]}`"


def _union(code: Code, scope: Found, node: ast.expr, depth: int) -> set[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(code, scope, node.left, depth) | _union(code, scope, node.right, depth)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _union(code, scope, ast.parse(node.value, mode="eval").body, depth)
    if isinstance(node, ast.Subscript):
        head = spelt(frozenset(_union(code, scope, node.value, depth)))
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = [spelt(frozenset(_union(code, scope, part, depth))) for part in inner]
        if head in ("Optional", "Union"):
            every = {p for part in inner for p in _union(code, scope, part, depth)}
            return every | {"None"} if head == "Optional" else every
        return {f"{head}[{', '.join(parts)}]"}
    dotted = dotted_name(node)
    found = code.find(scope.module, dotted) if dotted else None
    if isinstance(found, Found) and not isinstance(found.node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return _union(code, found, found.node, depth - 1) if depth else {found.name}
    if isinstance(found, Found):
        return {found.name}
    return {_one_spelling(found)} if isinstance(found, str) else {ast.unparse(node)}


_SAME = {"List": "list", "Dict": "dict", "Tuple": "tuple", "Set": "set"}


def _one_spelling(dotted: str) -> str:
    head, _, name = dotted.rpartition(".")
    return _SAME.get(name, name) if head in ("typing", "collections.abc", "typing_extensions") else dotted


def _constant(node: ast.expr | None) -> str:
    return " ".join(str(node.value).split()) if isinstance(node, ast.Constant) else ast.unparse(node) if node else ""


def _names(hook: Hook) -> str:
    return ", ".join(f"`{p.name}`" for p in hook.parameters) or "none"


def _text(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation) if annotation is not None else ""
