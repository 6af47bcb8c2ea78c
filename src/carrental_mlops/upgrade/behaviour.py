"""What a function does, as digests that formatting, comments, docstrings, annotations and moves do not change."""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from carrental_mlops.core.source import is_bare_string
from carrental_mlops.upgrade.code import (
    Code,
    Definition,
    Found,
    Method,
    Module,
    body_names,
    dotted_name,
    with_inner_imports,
)

_ENGINE = tuple(f"carrental_mlops.{room}" for room in ("core", "config", "errors", "orchestration"))
"""What calls hooks; counts by its names, as it does for the cache key of a run (`core/fingerprint.py`)."""
_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
"""In the place of a hook's own, which are its signature and no behaviour."""
_MARK = re.compile("§([^§]+)§")
_ROUNDS = 8
"""How many calls deep it counts which part calls which; what the parts are counts at any depth."""


@dataclass(frozen=True)
class Part:
    """One definition that a function reaches."""

    text: str
    """Digest of its own syntax, the names in it that lead to other parts left out."""
    place: str
    """`file:line`."""
    source: str
    """As written, with comments."""


@dataclass(frozen=True)
class Behaviour:
    """What a function does, with all of our package that it reaches."""

    digest: str
    """Equal where everything reached is equal, whatever it is called and wherever it stands."""
    parts: dict[str, Part]
    """What it reaches: `carrental_mlops.steps.fitting:fit`, `…train:TrainConfig.num_leaves`; itself first."""


def behaviour(code: Code, function: Method | Found, chain: Sequence[Found | str] = ()) -> Behaviour:
    """What `function` does.

    Args:
        code: where the names in it are looked up.
        function: a method of a class, or a function of a module.
        chain: the classes that `self` has, nearest first; what it finds in them is followed.
    """
    reach = _Reach(code)
    key = reach.method(function, chain) if isinstance(function, Method) else reach.definition(function)
    bare = {name: _digest(_MARK.sub("§", text)) for name, text in reach.texts.items()}
    parts = {name: Part(digest, *reach.places[name]) for name, digest in bare.items()}
    return Behaviour(reach.digest(key), parts)


def plain(node: ast.AST) -> str:
    """The syntax of `node` without docstrings, annotations and positions."""
    return ast.dump(_Bare().visit(copy.deepcopy(node)))


class _Reach:
    def __init__(self, code: Code) -> None:
        self.code = code
        self.texts: dict[str, str] = {}
        """Part to its syntax, in which `§part§` stands for another part."""
        self.places: dict[str, tuple[str, str]] = {}
        """Part to `file:line` and its source."""

    def digest(self, key: str) -> str:
        """Of a part, of how the parts that it reaches hang together, and of each of them."""
        known = {name: _digest(_MARK.sub("§", text)) for name, text in self.texts.items()}
        every = sorted(known.values())
        for _ in range(_ROUNDS):
            known = {name: self._round(text, known) for name, text in self.texts.items()}
        return _digest("\n".join([known[key], *every]))

    def _round(self, text: str, known: dict[str, str]) -> str:
        return _digest(_MARK.sub(lambda mark: known[mark[1]], text))

    def method(self, method: Method, chain: Sequence[Found | str]) -> str:
        """The part of a method, or of a value in a class body."""
        key = f"{method.owner.key}.{method.name}"
        self._take(key, method.owner, method.node, chain)
        return key

    def definition(self, found: Found) -> str:
        """The part of a function, a class or a value of a module."""
        chain = self.code.chain(found) if isinstance(found.node, ast.ClassDef) else ()
        self._take(found.key, found, found.node, chain)
        return found.key

    def _take(self, key: str, scope: Found, node: Definition, chain: Sequence[Found | str]) -> None:
        if key in self.texts:
            return
        self.texts[key] = ""
        self.places[key] = f"{scope.module.shown}:{node.lineno}", _source_of(scope.module, node)
        scope = replace(scope, module=with_inner_imports(scope.module, node))
        bare = _Bare().visit(copy.deepcopy(node))
        inside = _locals(bare)
        if isinstance(bare, ast.FunctionDef | ast.AsyncFunctionDef):
            bare.name = "_"  # a function that was renamed does what it did
            if any(map(is_hook, bare.decorator_list)):
                bare.args = _NO_ARGUMENTS
            bare.decorator_list = [d for d in bare.decorator_list if not is_hook(d)]
        linked = _Linked(self, scope, chain, inside)
        text = ast.dump(linked.visit(bare))
        self.texts[key] = text + "".join(sorted(linked.settings))

    def link(self, scope: Found, dotted: str) -> str:
        """What stands in a part's text for a name that is read in `scope`."""
        found = self.code.find(scope.module, dotted)
        if not isinstance(found, Found):
            return found or dotted
        if found.module.name.startswith(_ENGINE) or found.node is scope.node:
            return found.name
        return f"§{self.definition(found)}§"

    def own(self, chain: Sequence[Found | str], name: str) -> str | None:
        """What stands for `self.name`, where a class of ours defines it."""
        method = self.code.method(chain, name)
        if method is None or method.owner.module.name.startswith(_ENGINE):
            return None
        return f"§{self.method(method, chain)}§"

    def setting(self, chain: Sequence[Found | str], name: str) -> str | None:
        """The part of field `name` of the class that `config` is annotated with."""
        for base in chain:
            config = _config_of(base) if isinstance(base, Found) else None
            found = self.code.find(base.module, config) if config and isinstance(base, Found) else None
            if isinstance(found, Found):
                method = self.code.method(self.code.chain(found), name)
                return self.method(method, ()) if method else None
        return None


class _Linked(ast.NodeTransformer):
    """Puts the part that it leads to in the place of each name."""

    def __init__(self, reach: _Reach, scope: Found, chain: Sequence[Found | str], inside: set[str]) -> None:
        self.reach, self.scope, self.chain, self.inside = reach, scope, chain, inside
        self.settings: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`module.name` and `self.name` as one link; a field of the step's config beside it."""
        setting = self.reach.setting(self.chain, node.attr)
        if setting:
            self.settings.add(f"§{setting}§")
        dotted = dotted_name(node)
        head = dotted.partition(".")[0] if dotted else ""
        if dotted and dotted.count(".") == 1 and head in ("self", "cls"):
            own = self.reach.own(self.chain, node.attr)
            return ast.Name(own, ast.Load()) if own else node
        if dotted and head not in self.inside and self.reach.code.find(self.scope.module, dotted) is not None:
            return ast.Name(self.reach.link(self.scope, dotted), ast.Load())
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name of the module as a link; one of the function as it is."""
        if node.id in self.inside or not isinstance(node.ctx, ast.Load):
            return node
        return ast.Name(self.reach.link(self.scope, node.id), ast.Load())


class _Bare(ast.NodeTransformer):
    """Takes docstrings and other bare strings out, imports (their names are looked up), annotations of functions."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """The node without bare strings in its bodies."""
        for part in ("body", "orelse", "finalbody"):
            statements = getattr(node, part, None)
            if isinstance(statements, list):
                kept = [
                    s for s in statements if not is_bare_string(s) and not isinstance(s, ast.Import | ast.ImportFrom)
                ]
                setattr(node, part, kept or ([ast.Pass()] if statements else []))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            node.body = [_unannotated(statement) for statement in node.body]
        if isinstance(node, ast.arg):
            node.annotation = None
        return super().generic_visit(node)


def _unannotated(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return ast.Assign([node.target], node.value)
    return node


def _source_of(module: Module, node: Definition) -> str:
    """The lines of a definition as written, its decorators too."""
    lines = module.path.read_text(encoding="utf-8").splitlines()
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return "\n".join(lines[first - 1 : node.end_lineno])


def is_hook(decorator: ast.expr) -> bool:
    """Whether a decorator is `@hook(…)`."""
    return isinstance(decorator, ast.Call) and (dotted_name(decorator.func) or "").rpartition(".")[2] == "hook"


def _locals(node: ast.AST) -> set[str]:
    """Names that a function binds itself; what a class body binds is asked through `self`."""
    if isinstance(node, ast.ClassDef):
        return set(body_names(node))
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    given = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return (stored | given) - {name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names}


def _config_of(cls: Found) -> str | None:
    for node in cls.node.body if isinstance(cls.node, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "config":
            return dotted_name(node.annotation)
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
