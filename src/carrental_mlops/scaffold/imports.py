"""Add imports to Python source where a sorter would put them."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from itertools import pairwise

_LINE = 100


@dataclass(frozen=True, order=True)
class _Place:
    """Where an import stands: future, standard library, third party, the package itself; plain imports first."""

    section: int
    is_from: bool
    module: str


def with_imports(text: str, wanted: list[str], package: str) -> str:
    """`text` with every import of `wanted` (one name each) that it lacks; names join a `from` line that is there."""
    for line in dict.fromkeys(wanted):
        node = ast.parse(line).body[0]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            text = _with(text, node, package)
    return text


def _with(text: str, node: ast.Import | ast.ImportFrom, package: str) -> str:
    top = [n for n in ast.parse(text).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    name = node.names[0]
    same = [n for n in top if type(n) is type(node) and getattr(n, "module", None) == getattr(node, "module", None)]
    if any((a.name, a.asname) == (name.name, name.asname) for n in same for a in n.names):
        return text
    lines = text.splitlines()
    if isinstance(node, ast.ImportFrom) and same:
        old = same[0]
        names = sorted([ast.unparse(a) for a in old.names] + [ast.unparse(name)])
        lines[old.lineno - 1 : old.end_lineno] = _from(node.module or "", names)
        return "\n".join(lines) + "\n"
    at = _place(node, package)
    before = [n for n in top if _place(n, package) < at]
    after = [n for n in top if _place(n, package) > at]
    where = (before[-1].end_lineno or 0) if before else (after[0].lineno - 1 if after else _after_docstring(text))
    lines[where:where] = [ast.unparse(node)] if top else ["", ast.unparse(node)]
    return _spaced(lines, package)


def _spaced(lines: list[str], package: str) -> str:
    """`lines` with one blank line between import sections and none inside, where nothing else stands between."""
    top = [n for n in ast.parse("\n".join(lines)).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    for first, second in reversed(list(pairwise(top))):
        start, end = first.end_lineno or 0, second.lineno - 1
        if not any(line.strip() for line in lines[start:end]):
            apart = _place(first, package).section != _place(second, package).section
            lines[start:end] = [""] if apart else []
    return "\n".join(lines) + "\n"


def _from(module: str, names: list[str]) -> list[str]:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _LINE:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in names), ")"]


def _place(node: ast.Import | ast.ImportFrom, package: str) -> _Place:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
    head = module.partition(".")[0]
    section = 0 if head == "__future__" else 1 if head in sys.stdlib_module_names else 3 if head == package else 2
    return _Place(section, isinstance(node, ast.ImportFrom), module.lower())


def _after_docstring(text: str) -> int:
    body = ast.parse(text).body
    first = body[0] if body else None
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return (first.end_lineno or 0) if is_doc and first else 0
