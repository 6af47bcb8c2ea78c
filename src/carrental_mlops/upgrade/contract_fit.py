"""Does an override fit the contract of a hook, as far as its source says?"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from carrental_mlops.upgrade.code import Code, Found, Method, body_names
from carrental_mlops.upgrade.hook_diff import Hook, parameters, spelt, types_of
from carrental_mlops.upgrade.repo_overrides import Override

_IS = {
    "list": {"Sequence", "MutableSequence", "Collection", "Iterable", "Sized"},
    "tuple": {"Sequence", "Collection", "Iterable", "Sized"},
    "Sequence": {"Collection", "Iterable", "Sized"},
    "dict": {"Mapping", "MutableMapping", "Collection", "Iterable", "Sized"},
    "Mapping": {"Collection", "Iterable", "Sized"},
    "set": {"Set", "Collection", "Iterable", "Sized"},
    "frozenset": {"Set", "Collection", "Iterable", "Sized"},
    "bool": {"int", "float"},
    "int": {"float"},
    "numpy.ndarray": {"numpy.typing.NDArray"},
}
_ANY = {"Any", "object", "numpy.ndarray"}


@dataclass(frozen=True)
class Misfit:
    """One way in which an override does not fit, or may not."""

    otherwise: str
    """One sentence on what goes wrong if nobody mends it."""
    edit: str
    """What to write instead."""
    certain: bool = True
    """False where the source does not tell; a run of the override does."""
    place: str = ""
    """`file:line` where it is not that of the override."""


def misfits(code: Code, override: Override, old: Hook, new: Hook, version: str) -> Iterator[Misfit]:
    """Why `override`, found as one of `old`, does not fit `new`.

    Args:
        code: the repo beside the newer version, where the override's types are looked up.
        override: the method of the repo.
        old: the hook as the repo knew it.
        new: the hook of the newer version.
        version: the newer one's name.
    """
    function = override.function
    if function is None:
        if old.signature != new.signature:
            what = f"the source does not say what `{_name(override)}` takes and returns, and the hook takes others now"
            yield Misfit(what, f"write it as a method: def {new.name}{new.signature}", certain=False)
    else:
        yield from _arguments(override, function, new)
        yield from _answer(code, override, function, old, new, version)
    if old.check != new.check and new.check:
        what = f"{version} holds the answer to another check, so a run may stop in this hook with ContractError"
        yield Misfit(what, f"return {new.promise}", certain=False)


def stale_calls(cls: Found, old: Mapping[str, Hook], new: Mapping[str, Hook]) -> Iterator[tuple[Hook, Misfit]]:
    """Calls of a hook's default or of a hook, in the methods of a repo's class, that the newer version does not take.

    Args:
        cls: a class of the repo.
        old: its hooks in the old version, by name.
        new: its hooks in the newer one.
    """
    for method in body_names(cls.node).values():
        for node in ast.walk(method):
            found = _call_of_hook(node)
            if found is None or found[0] not in old:
                continue
            name, call = found
            given = {word.arg for word in call.keywords}
            said = ast.unparse(call.func)
            at = f"src/{cls.module.shown}:{call.lineno}"
            if name not in new:
                yield (
                    old[name],
                    Misfit(f"`{said}` raises AttributeError: the hook is gone", "call what stands for it", place=at),
                )
            elif None not in given:
                wrong = _wrong_words(given, new[name])
                if wrong:
                    yield (
                        old[name],
                        Misfit(f"`{said}(…)` raises TypeError: {wrong}", f"pass {_given(new[name])}", place=at),
                    )


def fits(found: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether every type of `found` may stand where one of `wanted` is declared; no types stand for anything."""
    return not wanted or all(any(_fits(one, other) for other in wanted) for one in found)


def _arguments(override: Override, function: ast.FunctionDef | ast.AsyncFunctionDef, new: Hook) -> Iterator[Misfit]:
    by_position = {a.arg for a in function.args.posonlyargs}
    taken = [p for p in parameters(function) if p.name not in by_position]
    names, wanted = {p.name for p in taken}, {p.name for p in new.parameters}
    missing = [] if function.args.kwarg else [p.name for p in new.parameters if p.name not in names]
    needed = [p.name for p in parameters(function) if p.required and p.name not in wanted]
    edit = f"def {new.name}{new.signature}"
    stops = "every `crm` command that imports the repo stops with OverrideError"
    if missing:
        given = f"the engine calls `{new.name}({_given(new)})`, and this method takes no {_list(missing)}"
        yield Misfit(f"{stops}: {given}", edit)
    if needed:
        yield Misfit(f"{stops}: this method needs {_list(needed)}, which the engine no longer passes", edit)


def _answer(
    code: Code, override: Override, function: ast.FunctionDef | ast.AsyncFunctionDef, old: Hook, new: Hook, version: str
) -> Iterator[Misfit]:
    if old.returns == new.returns:
        return
    said = types_of(code, _scope(override.method, code), function.returns)
    edit = f"return {new.promise}: -> {spelt(new.returns)}"
    stops = f"the first run stops in this hook with ContractError: {version} takes {spelt(new.returns)}"
    if said and not fits(said, new.returns):
        known = fits(said, old.returns)
        yield Misfit(f"{stops}, and this method says that it returns {spelt(said)}", edit, certain=known)
    elif not said and not fits(old.returns, new.returns):
        yield Misfit(f"{stops}, and this method does not say what it returns", edit, certain=False)


def _scope(method: Method, code: Code) -> Found:
    module = code.module(method.owner.module.name)
    return Found(module or method.owner.module, method.owner.name, method.owner.node)


def _fits(one: str, other: str) -> bool:
    if one == other or other in _ANY or one == "Any":
        return True
    head, inner = _parts(one)
    wanted, wanted_inner = _parts(other)
    if head != wanted and wanted not in _IS.get(head, ()):
        return False
    return not wanted_inner or not inner or _inner_fit([part for part in inner if part != "..."], wanted_inner)


def _inner_fit(inner: list[str], wanted: list[str]) -> bool:
    """`int` fits `float`; `str, int` fits `str, Any`; `str, str` of a tuple fits `str` of a sequence."""
    if len(inner) != len(wanted) and len(wanted) != 1:
        return False
    pairs = zip(inner, wanted if len(inner) == len(wanted) else wanted * len(inner), strict=True)
    return all(fits(frozenset(_split(one, "|")), frozenset(_split(other, "|"))) for one, other in pairs)


def _parts(text: str) -> tuple[str, list[str]]:
    """`Mapping[str, list[int]]` as `Mapping` and `str`, `list[int]`."""
    head, _, inner = text.partition("[")
    return head, _split(inner[:-1], ",") if inner else []


def _split(text: str, at: str) -> list[str]:
    """`text` at each `at` outside brackets."""
    depth, found = 0, [""]
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == at and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [part.strip() for part in found]


def _call_of_hook(node: ast.AST) -> tuple[str, ast.Call] | None:
    """Name and call of `super().name(…)` and `self.name(…)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    of = node.func.value
    above = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
    return (node.func.attr, node) if above or (isinstance(of, ast.Name) and of.id == "self") else None


def _wrong_words(given: set[str | None], hook: Hook) -> str:
    wanted = {p.name for p in hook.parameters}
    extra = sorted(word for word in given if word and word not in wanted)
    missing = [p.name for p in hook.parameters if p.required and p.name not in given]
    return " and ".join(
        [*([f"it takes no {_list(extra)}"] if extra else []), *([f"it needs {_list(missing)}"] if missing else [])]
    )


def _given(hook: Hook) -> str:
    return ", ".join(f"{p.name}=…" for p in hook.parameters)


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _name(override: Override) -> str:
    return f"{override.method.owner.name}.{override.method.name}"
