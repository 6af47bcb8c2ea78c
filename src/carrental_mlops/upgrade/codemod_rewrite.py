"""One declared change made in one Python file, with libcst: comments, layout, encoding and line ends stay."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor

from carrental_mlops.core.deprecated import Change
from carrental_mlops.upgrade.rewrite_safety import by_hand_reason

_Item = TypeVar("_Item", cst.Param, cst.Arg, cst.ImportAlias)


@dataclass(frozen=True)
class Rewritten:
    """A file after one change."""

    content: bytes
    by_hand: tuple[tuple[int, str], ...] = ()
    """Line and what somebody has to do there."""


def rewrite_hook(content: bytes, change: Change, classes: frozenset[str]) -> Rewritten:
    """Follow a change of a hook in the classes of a file.

    Args:
        content: the file, in whatever encoding it declares.
        change: of any kind but `moved_import`.
        classes: names of the classes of the file that have the hook.

    Returns:
        The file, equal to `content` where nothing had to be done, with what is not safe by machine.
    """
    tree = ast.parse(content)
    refused: list[tuple[int, str]] = []
    wanted: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            reason = by_hand_reason(node, change)
            if reason:
                refused.append(reason)
            else:
                wanted.add(node.name)
    module = cst.parse_module(content)
    made = module.visit(_Hook(change, frozenset(wanted)))
    if change.kind == "added_argument" and change.imports and made.bytes != module.bytes:
        made = _with_imports(made, change.imports)
    return Rewritten(content if made.deep_equals(module) else made.bytes, tuple(refused))


def rewrite_imports(content: bytes, change: Change) -> Rewritten:
    """Follow a `moved_import` in a file; what it cannot rewrite stands in `by_hand`."""
    module = cst.parse_module(content)
    moved = _Moved(change)
    made = module.visit(moved)
    return Rewritten(content if made.deep_equals(module) else made.bytes, _whole_imports(content, change))


class _Hook(cst.CSTTransformer):
    def __init__(self, change: Change, classes: frozenset[str]) -> None:
        super().__init__()
        self.change, self.classes = change, classes
        self.inside: list[bool] = []
        self.methods: list[str] = []

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        """Note whether this class is one of those asked for."""
        self.inside.append(node.name.value in self.classes)
        self.methods.append("")

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        """Forget it."""
        self.inside.pop()
        self.methods.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        """Note the method of the class that is being read."""
        if self.methods and not self.methods[-1]:
            self.methods[-1] = node.name.value

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.RemovalSentinel:
        """The override itself, changed."""
        outer = bool(self.methods) and self.methods[-1] == original_node.name.value
        if outer:
            self.methods[-1] = ""
        if not (outer and self._here() and original_node.name.value == self.change.hook):
            return updated_node
        if self.change.kind == "removed_hook":
            return cst.RemoveFromParent()
        return _changed_method(updated_node, self.change)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
        """`self.old` and `super().old` by their new name."""
        if self._here() and self.change.kind == "renamed_hook" and _is_hook_of(original_node, self.change.hook):
            return updated_node.with_changes(attr=cst.Name(self.change.new))
        return updated_node

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        """Calls of the hook, with the arguments that it takes now."""
        if not self._here() or not isinstance(original_node.func, cst.Attribute):
            return updated_node
        if not _is_hook_of(original_node.func, self.change.hook):
            return updated_node
        change, args = self.change, list(updated_node.args)
        if change.kind == "renamed_argument":
            args = [a.with_changes(keyword=cst.Name(change.new)) if _word(a) == change.old else a for a in args]
        elif change.kind == "removed_argument":
            args = _without(args, [n for n, a in enumerate(args) if _word(a) == change.old])
        elif change.kind == "added_argument" and self._passes_on(args):
            args = _appended(args, _passed(change.new))
        return updated_node.with_changes(args=args)

    def _here(self) -> bool:
        return bool(self.inside) and self.inside[-1]

    def _passes_on(self, args: list[cst.Arg]) -> bool:
        known = {_word(a) for a in args}
        return self.methods[-1] == self.change.hook and self.change.new not in known and not any(a.star for a in args)


class _Renamed(cst.CSTTransformer):
    """A local name under another one: not attributes, not keywords of calls."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__()
        self.old, self.new = old, new

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        """The name, renamed."""
        return updated_node.with_changes(value=self.new) if original_node.value == self.old else updated_node

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
        """`x.old` stays."""
        return updated_node.with_changes(attr=original_node.attr)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        """`old=` of a call stays; the calls of the hook are renamed elsewhere."""
        return updated_node.with_changes(keyword=original_node.keyword)


def _changed_method(method: cst.FunctionDef, change: Change) -> cst.FunctionDef:
    if change.kind == "renamed_hook":
        return method.with_changes(name=cst.Name(change.new))
    if change.kind == "renamed_argument":
        renamed = method.visit(_Renamed(change.old, change.new))
        assert isinstance(renamed, cst.FunctionDef)  # noqa: S101 - it renames names only
        return renamed.with_changes(name=method.name, decorators=method.decorators)
    given = method.params
    if change.kind == "removed_argument":
        plain = _without(given.params, [n for n, p in enumerate(given.params) if p.name.value == change.old])
        words = _without(
            given.kwonly_params, [n for n, p in enumerate(given.kwonly_params) if p.name.value == change.old]
        )
        star = given.star_arg if words else cst.MaybeSentinel.DEFAULT
        if not words and plain:
            plain[-1] = plain[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return method.with_changes(params=given.with_changes(params=plain, kwonly_params=words, star_arg=star))
    names = {p.name.value for p in (*given.params, *given.kwonly_params)}
    if change.kind != "added_argument" or change.new in names or given.star_kwarg is not None:
        return method
    parameter = cst.Param(cst.Name(change.new), cst.Annotation(cst.parse_expression(change.annotation)))
    if given.kwonly_params:
        return method.with_changes(params=given.with_changes(kwonly_params=_appended(given.kwonly_params, parameter)))
    return method.with_changes(params=given.with_changes(kwonly_params=[parameter]))


def _appended(items: Sequence[_Item], new: _Item) -> list[_Item]:
    """`items` and `new`, laid out as the ones before."""
    made = list(items)
    if made:
        apart = next((i.comma for i in reversed(items[:-1]) if isinstance(i.comma, cst.Comma)), None)
        end = made[-1].comma
        space = end.whitespace_after if isinstance(end, cst.Comma) else None
        if isinstance(end, cst.Comma) and isinstance(space, cst.ParenthesizedWhitespace):
            inner = cst.SimpleWhitespace(space.last_line.value + "    ")
            apart = end.with_changes(whitespace_after=space.with_changes(last_line=inner))
            bare = cst.TrailingWhitespace(newline=space.first_line.newline)
            end = end.with_changes(whitespace_after=space.with_changes(first_line=bare, empty_lines=[]))
        made[-1] = made[-1].with_changes(comma=apart or cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
        new = new.with_changes(comma=end)
    made.append(new)
    return made


def _without(items: Sequence[_Item], places: list[int]) -> list[_Item]:
    """`items` without those at `places`; the last that stays ends as the last one did."""
    kept = [item for n, item in enumerate(items) if n not in places]
    if kept and places and len(items) - 1 in places:
        kept[-1] = kept[-1].with_changes(comma=items[-1].comma)
    return kept


def _passed(name: str) -> cst.Arg:
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(cst.Name(name), keyword=cst.Name(name), equal=equal)


def _word(arg: cst.Arg) -> str | None:
    return arg.keyword.value if arg.keyword else None


def _is_hook_of(node: cst.Attribute, hook: str) -> bool:
    of = node.value
    above = isinstance(of, cst.Call) and isinstance(of.func, cst.Name) and of.func.value == "super"
    return node.attr.value == hook and (above or (isinstance(of, cst.Name) and of.value == "self"))


def _with_imports(module: cst.Module, lines: tuple[str, ...]) -> cst.Module:
    context = CodemodContext()
    for line in lines:
        node = ast.parse(line).body[0]
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                AddImportsVisitor.add_needed_import(context, node.module or "", alias.name, alias.asname)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                AddImportsVisitor.add_needed_import(context, alias.name, None, alias.asname)
    return AddImportsVisitor(context).transform_module(module)


class _Moved(cst.CSTTransformer):
    """`from old import name` as `from new import name`."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.module, _, self.name = change.of.partition(":")
        self.new_module, _, self.new_name = change.new.partition(":")

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        """The line, and a second one where only some of its names moved."""
        node = updated_node.body[0]
        if not isinstance(node, cst.ImportFrom) or node.relative or isinstance(node.names, cst.ImportStar):
            return updated_node
        source = _dotted(node.module)
        if source == self.module and not self.name:
            return updated_node.with_changes(
                body=[node.with_changes(module=_expression(self.new_module)), *updated_node.body[1:]]
            )
        parent, _, leaf = self.module.rpartition(".")
        new_parent, _, new_leaf = self.new_module.rpartition(".")
        if self.name:
            parent, leaf, new_parent, new_leaf = self.module, self.name, self.new_module, self.new_name
        if source != parent:
            return updated_node
        places = [n for n, alias in enumerate(node.names) if _dotted(alias.name) == leaf]
        return self._split(updated_node, node, places, new_parent, new_leaf) if places else updated_node

    def _split(
        self, line: cst.SimpleStatementLine, node: cst.ImportFrom, places: list[int], module: str, name: str
    ) -> Any:
        assert not isinstance(node.names, cst.ImportStar)  # noqa: S101 - the caller looked
        old = node.names[places[0]]
        alias = old.with_changes(name=cst.Name(name), comma=cst.MaybeSentinel.DEFAULT)
        if old.asname is None and _dotted(old.name) != name:
            alias = alias.with_changes(asname=cst.AsName(cst.Name(_dotted(old.name))))
        kept = _without(node.names, places)
        if not kept:
            moved = node.with_changes(module=_expression(module), names=[alias.with_changes(comma=old.comma)])
            return line.with_changes(body=[moved, *line.body[1:]])
        if node.lpar is None:
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        rest = line.with_changes(body=[node.with_changes(names=kept), *line.body[1:]])
        return cst.FlattenSentinel([rest, cst.SimpleStatementLine([cst.ImportFrom(_expression(module), [alias])])])


def _whole_imports(content: bytes, change: Change) -> tuple[tuple[int, str], ...]:
    module, _, name = change.of.partition(":")
    found = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import) and any(alias.name == module for alias in node.names):
            what = f"`{module}.{name}`" if name else f"`{module}`"
            found.append(
                (node.lineno, f"{what} is {change.new.replace(':', '.')} now: change this import and its uses")
            )
    return tuple(found)


def _dotted(node: cst.BaseExpression | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _expression(dotted: str) -> Any:
    return cst.parse_expression(dotted)
