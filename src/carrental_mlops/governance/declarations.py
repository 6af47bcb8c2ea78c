"""Feature declarations of a repo, read from its source text: nothing is imported, Feast least of all.

Read are the modules of the repo's package: `History(…)` and `stored` of feature sets, and every view and source that is
made by calling a class of Feast. A value may be a literal, an f-string-free name of the same module or of another
module of the package, or `str(NAME)`, `A + B` and `A / B` of those.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from carrental_mlops.governance.source_names import Module, dotted, last

_PLACES = ("path", "table", "table_ref", "query", "topic", "database", "name")
"""Keywords of Feast's sources that say where the data lies, the plainest first."""
_HISTORY, _SETS = "History", "FeatureSet"


@dataclass(frozen=True)
class Source:
    """A source that a view reads."""

    kind: str
    """Feast's class, such as `FileSource`."""
    name: str | None
    at: str | None
    """Path, table, topic or query; None where the text does not say."""
    path: str
    line: int


@dataclass(frozen=True)
class View:
    """A feature view."""

    name: str | None
    source: Source | None
    """None where it has none, or the text does not say which."""
    features: frozenset[str] | None
    """Names of its schema; None where the text does not say."""
    path: str
    line: int


@dataclass(frozen=True)
class Used:
    """A stored feature that a feature set asks for: `view:feature`."""

    reference: str
    path: str
    line: int


@dataclass
class Declarations:
    """All that a package declares."""

    views: list[View] = field(default_factory=list)
    histories: list[View] = field(default_factory=list)
    """What the features pipeline computes itself from the repo's rows; `source` is None."""
    entities: list[tuple[str, str, int]] = field(default_factory=list)
    """Join key, path, line of each history."""
    used: list[Used] = field(default_factory=list)
    unreadable: list[tuple[str, int, str]] = field(default_factory=list)
    """Path, line and what of a declaration that cannot be read from the text."""


def read(modules: Mapping[str, str]) -> Declarations:
    """What the modules declare.

    Args:
        modules: path, relative to the repo (`src/<package>/…`), to source text; one that does not parse is left out,
            for the import says it.
    """
    parsed = {}
    for path, text in modules.items():
        try:
            parsed[path] = Module(path, ast.parse(text))
        except SyntaxError:
            continue
    found = Declarations()
    package = {dotted(path): module for path, module in parsed.items()}
    for module in parsed.values():
        _Reader(module, package, found).read()
    return found


class _Unreadable(Exception):
    """The text does not say the value."""


class _Reader:
    def __init__(self, module: Module, package: Mapping[str, Module], found: Declarations) -> None:
        self._module, self._package, self._found = module, package, found

    def read(self) -> None:
        """Add what the module declares."""
        for node in ast.walk(self._module.tree):
            if isinstance(node, ast.ClassDef):
                self._set(node)
            elif isinstance(node, ast.Call) and (kind := self._feast(node.func)) and kind.endswith("FeatureView"):
                self._view(node, kind)
            elif isinstance(node, ast.FunctionDef):
                self._decorated(node)

    def _set(self, node: ast.ClassDef) -> None:
        """`history` and `stored` of a feature set, known by its names."""
        bound = {
            t.id: s.value for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)
        }
        bound |= {
            s.target.id: s.value
            for s in node.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.value is not None
        }
        if not any(last(base) == _SETS or last(base).endswith(("Features", _SETS)) for base in node.bases):
            return
        for call in self._calls(bound.get("history"), "history"):
            self._history(call)
        if "stored" in bound:
            try:
                for reference in self._value(bound["stored"]):
                    self._found.used.append(Used(str(reference), self._module.path, bound["stored"].lineno))
            except (_Unreadable, TypeError):
                self._dark(bound["stored"], f"`stored` of {node.name}")

    def _calls(self, node: ast.expr | None, what: str) -> Iterator[ast.Call]:
        if node is None:
            return
        if isinstance(node, ast.Name) and node.id in self._module.values:
            node = self._module.values[node.id]
        for item in node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]:
            if isinstance(item, ast.Name) and item.id in self._module.values:
                item = self._module.values[item.id]
            if isinstance(item, ast.Call) and last(item.func) == _HISTORY:
                yield item
            else:
                self._dark(item, f"an entry of `{what}`")

    def _history(self, call: ast.Call) -> None:
        from carrental_mlops.data.features import History

        try:
            names = ("view", "entity", "days", "mean", "label_rate")
            given = dict(zip(names, map(self._value, call.args), strict=False))
            given |= {k.arg: self._value(k.value) for k in call.keywords if k.arg}
            history = History(**given)
            features = frozenset(history.features())
        except (_Unreadable, TypeError):
            self._dark(call, "a History")
            return
        self._found.histories.append(View(history.view, None, features, self._module.path, call.lineno))
        self._found.entities.append((history.entity, self._module.path, call.lineno))

    def _view(self, call: ast.Call, kind: str) -> None:
        given = {k.arg: k.value for k in call.keywords if k.arg}
        if call.args:
            given.setdefault("name", call.args[0])
        on_demand = kind.startswith("OnDemand")
        name, features = self._text(given.get("name")), self._schema(given.get("schema"))
        source = None if on_demand else self._source(given.get("source") or given.get("batch_source"))
        if name is None:
            self._dark(call, f"the name of a {kind}")
        if source is None and not on_demand:
            self._dark(call, f"the source of {kind} {name or ''}".strip())
        self._found.views.append(View(name, source, features, self._module.path, call.lineno))

    def _decorated(self, node: ast.FunctionDef) -> None:
        """`@on_demand_feature_view(…)`, `@stream_feature_view(…)`: the function's name is the view's."""
        for decorator in node.decorator_list:
            kind = self._feast(decorator.func) if isinstance(decorator, ast.Call) else None
            if isinstance(decorator, ast.Call) and kind and kind.endswith("feature_view"):
                given = {k.arg: k.value for k in decorator.keywords if k.arg}
                on_demand = kind.startswith("on_demand")
                source = None if on_demand else self._source(given.get("source"))
                if source is None and not on_demand:
                    self._dark(decorator, f"the source of {node.name}")
                name = self._text(given.get("name")) or node.name
                schema = self._schema(given.get("schema"))
                self._found.views.append(View(name, source, schema, self._module.path, node.lineno))

    def _source(self, node: ast.expr | None) -> Source | None:
        module, call = self._followed(node)
        if not isinstance(call, ast.Call):
            return None
        reader = _Reader(module, self._package, self._found)
        kind = reader._feast(call.func)
        if kind is None or not kind.endswith("Source"):
            return None
        given = {k.arg: k.value for k in call.keywords if k.arg}
        if inner := given.get("batch_source"):  # what is pushed or streamed lies there as well
            return reader._source(inner)
        at = next((text for key in _PLACES if (text := reader._text(given.get(key))) is not None), None)
        if any(key in given and reader._text(given[key]) is None for key in _PLACES if key != "name"):
            reader._dark(call, f"where a {kind} lies")
        name = reader._text(given.get("name"))
        return Source(kind, name, at, module.path, call.lineno)

    def _schema(self, node: ast.expr | None) -> frozenset[str] | None:
        _, found = self._followed(node)
        if not isinstance(found, (ast.List, ast.Tuple)):
            return None
        names = set()
        for item in found.elts:
            if not (isinstance(item, ast.Call) and last(item.func) == "Field"):
                return None
            first = item.args[0] if item.args else next((k.value for k in item.keywords if k.arg == "name"), None)
            name = self._text(first)
            if name is None:
                return None
            names.add(name)
        return frozenset(names)

    def _text(self, node: ast.expr | None) -> str | None:
        try:
            value = self._value(node) if node is not None else None
        except _Unreadable:
            return None
        return value if isinstance(value, str) else None

    def _value(self, node: ast.expr, depth: int = 0) -> Any:
        """What the expression is worth.

        Raises:
            _Unreadable: that takes running it.
        """
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            pass
        if depth > 20:
            raise _Unreadable
        if isinstance(node, ast.Name):
            module, found = self._followed(node)
            if found is not node and found is not None:
                return _Reader(module, self._package, self._found)._value(found, depth + 1)
        if isinstance(node, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in node.elts):
            return tuple(self._value(e, depth + 1) for e in node.elts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Div)):
            left, right = self._value(node.left, depth + 1), self._value(node.right, depth + 1)
            if isinstance(left, str) and isinstance(right, str):
                return f"{left}{'/' if isinstance(node.op, ast.Div) else ''}{right}"
            if isinstance(left, tuple) and isinstance(right, tuple) and isinstance(node.op, ast.Add):
                return left + right
        if isinstance(node, ast.Call) and last(node.func) in ("str", "Path") and len(node.args) == 1:
            return str(self._value(node.args[0], depth + 1))
        raise _Unreadable

    def _followed(self, node: ast.expr | None) -> tuple[Module, ast.expr | None]:
        """The expression that a name stands for, and the module that holds it; the node itself for what is no name."""
        module, seen = self._module, 0
        while isinstance(node, ast.Name) and seen < 20:
            seen += 1
            if node.id in module.values:
                node = module.values[node.id]
            elif node.id in module.imports and module.imports[node.id][0] in self._package:
                where, name = module.imports[node.id]
                module, node = self._package[where], ast.Name(name)
            else:
                return module, None
        return module, node

    def _feast(self, func: ast.expr) -> str | None:
        """The name of what is called, where it comes from Feast."""
        if isinstance(func, ast.Attribute):
            root = func.value
            while isinstance(root, ast.Attribute):
                root = root.value
            known = self._module.imports.get(root.id) if isinstance(root, ast.Name) else None
            return func.attr if known and known[0].partition(".")[0] == "feast" else None
        known = self._module.imports.get(func.id) if isinstance(func, ast.Name) else None
        return known[1] if known and known[0].partition(".")[0] == "feast" else None

    def _dark(self, node: ast.AST, what: str) -> None:
        self._found.unreadable.append((self._module.path, getattr(node, "lineno", 1), what))
