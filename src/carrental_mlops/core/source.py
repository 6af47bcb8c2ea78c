"""Code as text that comments, docstrings and layout do not change, and the names that it reaches."""

from __future__ import annotations

import ast
import dis
import importlib.util
import linecache
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


class _Tree:
    """A parsed file: its functions by line, its classes by name, and the code objects that compiling it gives."""

    def __init__(self, text: str, filename: str) -> None:
        self.functions: dict[tuple[int, str], list[ast.AST]] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        tree = ast.parse(text)
        self.codes = set(_nested(compile(tree, filename, "exec", dont_inherit=True)))
        self._texts: dict[tuple[int, str], str] = {}
        self._index(tree, "")

    def text(self, line: int, name: str) -> str:
        """The functions called `name` that begin on `line`; empty where there is none."""
        key = (line, name)
        if key not in self._texts:
            self._texts[key] = "\n".join(_dump(node) for node in self.functions.get(key, []))
        return self._texts[key]

    def _index(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                line = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                self.functions.setdefault((line, child.name), []).append(child)
                inner = f"{prefix}{child.name}.<locals>."
            elif isinstance(child, ast.Lambda):
                self.functions.setdefault((child.lineno, "<lambda>"), []).append(child)
            elif isinstance(child, ast.ClassDef):
                self.classes[f"{prefix}{child.name}"] = child
                inner = f"{prefix}{child.name}."
            self._index(child, inner)


_trees: dict[str, tuple[list[str], _Tree | None]] = {}
"""Of each file its lines, the very list that `linecache` keeps until the file changes, and what they parse to."""


def _parsed(text: str, filename: str) -> _Tree | None:
    try:
        return _Tree(text, filename)
    except (SyntaxError, ValueError):
        return None


def _tree_of(filename: str) -> _Tree | None:
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    known = _trees.get(filename)
    if known is None or known[0] is not lines:
        known = _trees[filename] = lines, _parsed("".join(lines), filename) if lines else None
    return known[1]


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def code_text(code: types.CodeType) -> str:
    """The syntax of the function that `code` was compiled from, or its instructions where the file has moved on."""
    tree = _tree_of(code.co_filename)
    if tree is not None and code in tree.codes:
        found = tree.text(code.co_firstlineno, code.co_name)
        if found:
            return found
    return _listing(code)


@lru_cache(maxsize=4096)
def _listing(code: types.CodeType) -> str:
    return "\n".join(_instructions(code))


def class_text(cls: type) -> tuple[str, set[str]]:
    """The class statement without its methods, and the names it reads; nothing where its source is not at hand."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    tree = _tree_of(file) if file else None
    node = tree.classes.get(cls.__qualname__) if tree else None
    if node is None:
        return "", set()
    body = [part for part in node.body if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    alone = ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list)
    if sys.version_info >= (3, 12):
        alone.type_params = node.type_params
    values = [*body, *node.decorator_list, *node.keywords]
    names = {n.id for part in values for n in ast.walk(_unannotated(part)) if isinstance(n, ast.Name)}
    return _dump(alone), names


def _unannotated(part: ast.AST) -> ast.AST:
    if isinstance(part, ast.AnnAssign):
        return part.value or ast.Constant(None)
    return part


def _dump(node: ast.AST) -> str:
    return ast.dump(_Bare().visit(_copied(node)))


def _copied(node: Any) -> Any:
    if isinstance(node, ast.AST):
        return type(node)(**{name: _copied(value) for name, value in ast.iter_fields(node)})
    return [_copied(item) for item in node] if isinstance(node, list) else node


class _Bare(ast.NodeTransformer):
    """Takes docstrings, the ones under attributes too, and other bare strings out."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """The node without bare strings in any of its bodies."""
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, [s for s in statements if not is_bare_string(s)] or [ast.Pass()])
        return super().generic_visit(node)


def is_bare_string(node: ast.AST) -> bool:
    """Whether a statement is a string alone, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _instructions(code: types.CodeType) -> Iterator[str]:
    kept = [i for i in dis.get_instructions(code) if i.opname not in ("NOP", "CACHE", "EXTENDED_ARG", "RESUME")]
    order = {instruction.offset: n for n, instruction in enumerate(kept)}
    yield f"{code.co_argcount} {code.co_kwonlyargcount} {code.co_posonlyargcount} {code.co_varnames} {code.co_flags}"
    for instruction in kept:
        value = instruction.argval
        if isinstance(value, types.CodeType):
            yield from _instructions(value)
        elif instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            yield f"{instruction.opname} to {order.get(value, '?')}"
        else:
            yield f"{instruction.opname} {sorted(value, key=repr) if isinstance(value, frozenset) else value!r}"


@lru_cache(maxsize=4096)
def references(code: types.CodeType) -> frozenset[tuple[str, ...]]:
    """`("np", "log")` for `np.log`: each global or enclosing name read, with the attributes read from it."""
    found: set[tuple[str, ...]] = set()
    for inner in _nested(code):
        chain: list[str] = []
        for instruction in dis.get_instructions(inner):
            if chain and instruction.opname in _ATTRIBUTES:
                chain.append(str(instruction.argval))
                continue
            if chain:
                found.add(tuple(chain))
            chain = [str(instruction.argval)] if instruction.opname in _LOADS else []
        if chain:
            found.add(tuple(chain))
    return frozenset(found)


@lru_cache(maxsize=4096)
def names_in(code: types.CodeType, package: str) -> frozenset[tuple[str, str]]:
    """(module, name) of each import inside the function; the name is empty for `import module`."""
    found: set[tuple[str, str]] = set()
    for inner in _nested(code):
        module, constants = "", [0]
        for instruction in dis.get_instructions(inner):
            if instruction.opname == "LOAD_CONST":
                constants.append(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                level = next((c for c in reversed(constants[-2:]) if isinstance(c, int)), 0)
                module = _absolute(str(instruction.argval), level, package)
                if not constants[-1]:
                    found.add((module, ""))
            elif instruction.opname == "IMPORT_FROM":
                found.add((module, str(instruction.argval)))
    return frozenset(found)


def _absolute(name: str, level: int, package: str) -> str:
    return importlib.util.resolve_name("." * level + name, package) if level else name


__all__ = ["class_text", "code_text", "is_bare_string", "names_in", "references"]
