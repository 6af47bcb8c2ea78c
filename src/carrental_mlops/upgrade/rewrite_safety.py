"""Whether a declared change can be made in a class by machine, or why a person has to."""

from __future__ import annotations

import ast

from carrental_mlops.core.deprecated import Change
from carrental_mlops.upgrade.code import body_names

_READS_NAMES = {"locals", "vars", "eval", "exec"}


def by_hand_reason(cls: ast.ClassDef, change: Change) -> tuple[int, str] | None:
    """Line and what somebody has to do there, or None where the codemod can follow `change` in `cls`."""
    names = body_names(cls)
    method = names.get(change.hook)
    if change.kind == "renamed_hook" and method is not None and change.new in names:
        return (
            method.lineno,
            f"`{cls.name}` has `{change.hook}` and `{change.new}`: keep one of them, as `{change.new}`",
        )
    if method is not None and not isinstance(method, ast.FunctionDef):
        return method.lineno, f"`{cls.name}.{change.hook}` is no `def`: {_told(change)}"
    if method is not None and change.kind in _REASONS:
        why = _REASONS[change.kind](method, change)
        if why:
            return method.lineno, f"`{cls.name}.{change.hook}` {why}: {_told(change)}"
    return _call_elsewhere(cls, change)


def passes_through(method: ast.FunctionDef) -> bool:
    """Whether a method does nothing but return what the default does."""
    body = [s for s in method.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or method.decorator_list:
        return False
    call = body[0].value
    if not isinstance(call, ast.Call) or not _is_default(call, method.name) or call.args:
        return False
    return all(isinstance(word.value, ast.Name) and word.value.id == word.arg for word in call.keywords)


def _removed_hook(method: ast.FunctionDef, change: Change) -> str:
    return "" if passes_through(method) else "does something of its own"


def _renamed_argument(method: ast.FunctionDef, change: Change) -> str:
    given = _arguments(method)
    if change.old not in given:
        return "takes it through **" + method.args.kwarg.arg if method.args.kwarg and change.new not in given else ""
    return _name_taken(method, change.new) or _bound_again(method, change.old)


def _added_argument(method: ast.FunctionDef, change: Change) -> str:
    if change.new in _arguments(method) or method.args.kwarg:
        return ""
    starred = any(w.arg is None for c in _defaults(method) for w in c.keywords)
    return _name_taken(method, change.new) or ("calls the default with **" if starred else "")


def _removed_argument(method: ast.FunctionDef, change: Change) -> str:
    if change.old not in _arguments(method):
        return ""
    passed = {id(w.value) for c in _defaults(method) for w in c.keywords if w.arg == change.old}
    uses = [n for n in ast.walk(method) if isinstance(n, ast.Name) and n.id == change.old and id(n) not in passed]
    return f"uses it in line {uses[0].lineno}" if uses else ("calls " + _reader(method) if _reader(method) else "")


_REASONS = {
    "removed_hook": _removed_hook,
    "renamed_argument": _renamed_argument,
    "added_argument": _added_argument,
    "removed_argument": _removed_argument,
}


def _name_taken(method: ast.FunctionDef, new: str) -> str:
    used = {n.id for n in ast.walk(method) if isinstance(n, ast.Name)} | _arguments(method)
    if new in used:
        return f"uses the name `{new}` already"
    return "calls " + _reader(method) if _reader(method) else ""


def _bound_again(method: ast.FunctionDef, old: str) -> str:
    """Where a name is bound by something inside the method, so that not every use of it is the argument."""
    for node in ast.walk(method):
        if node is not method and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
            if old in inner:
                return f"binds `{old}` again in line {node.lineno}"
        if isinstance(node, ast.comprehension):
            stored = {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
            if old in stored:
                return f"binds `{old}` again in line {node.target.lineno}"
        if node is not method and _binds(node, old):
            return f"binds `{old}` again in line {getattr(node, 'lineno', method.lineno)}"
    return ""


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name.partition(".")[0]) == name for alias in node.names)
    return getattr(node, "name", None) == name


def _reader(method: ast.FunctionDef) -> str:
    calls = [n.func.id for n in ast.walk(method) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return next((f"`{name}()`" for name in calls if name in _READS_NAMES), "")


def _call_elsewhere(cls: ast.ClassDef, change: Change) -> tuple[int, str] | None:
    """A call of the hook that lacks an added argument, in a method that has none to pass."""
    if change.kind not in ("added_argument", "removed_hook"):
        return None
    for name, node in body_names(cls).items():
        if name == change.hook:
            continue
        for call in ast.walk(node):
            if not isinstance(call, ast.Call) or not (_is_default(call, change.hook) or _is_own(call, change.hook)):
                continue
            if change.kind == "removed_hook" or change.new not in {word.arg for word in call.keywords}:
                return call.lineno, f"`{ast.unparse(call.func)}(…)` is called here: {_told(change)}"
    return None


def _defaults(method: ast.FunctionDef) -> list[ast.Call]:
    return [n for n in ast.walk(method) if isinstance(n, ast.Call) and _is_default(n, method.name)]


def _is_default(call: ast.Call, hook: str) -> bool:
    of = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == hook else None
    return isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"


def _is_own(call: ast.Call, hook: str) -> bool:
    of = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr == hook else None
    return isinstance(of, ast.Name) and of.id == "self"


def _arguments(method: ast.FunctionDef) -> set[str]:
    given = method.args
    return {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)}


def _told(change: Change) -> str:
    """What a person is to do."""
    return {
        "renamed_hook": f"`{change.hook}` is called `{change.new}` now",
        "removed_hook": change.advice,
        "renamed_argument": f"argument `{change.old}` is called `{change.new}` now",
        "added_argument": f"add the argument `{change.new}: {change.annotation}`",
        "removed_argument": f"the engine no longer passes `{change.old}`",
    }.get(change.kind, f"{change.of} is {change.new} now")
