"""Python source as names and definitions, read and never imported: a broken import hides nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr


@dataclass(frozen=True)
class Import:
    """What an import binds: `name` of `module`, or the module itself where `name` is empty."""

    module: str
    name: str
    line: int


@dataclass(frozen=True, eq=False)
class Module:
    """One file, parsed."""

    name: str
    path: Path
    shown: str
    """Relative to the root that it was found in."""
    tree: ast.Module
    names: dict[str, Definition | Import]
    """What its top level binds; the last binding counts."""
    stars: tuple[str, ...]
    """Modules that it imports everything from."""


@dataclass(frozen=True, eq=False)
class Found:
    """A definition of a class, a function or a value, and its module."""

    module: Module
    name: str
    node: Definition

    @property
    def key(self) -> str:
        """`module:name`."""
        return f"{self.module.name}:{self.name}"

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.module.shown}:{self.node.lineno}"


@dataclass(frozen=True, eq=False)
class Method:
    """What a class body binds to a name: a method, or a value that stands for one."""

    owner: Found
    name: str
    node: Definition

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.owner.module.shown}:{self.node.lineno}"


@dataclass(frozen=True)
class Unreadable:
    """A file that does not parse."""

    shown: str
    line: int
    why: str


@dataclass(eq=False)
class Code:
    """Modules below some folders, the first folder that has a module wins; each file is read once."""

    roots: tuple[tuple[Path, str], ...]
    """Folder, and the one package in it that counts; empty for all of them."""
    beyond: Code | None = None
    """Asked for what is not below the folders."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """`module` or `module:name` that an import may name to where it is now."""
    unreadable: dict[Path, Unreadable] = field(default_factory=dict)
    _modules: dict[str, Module | None] = field(default_factory=dict)

    def module(self, name: str) -> Module | None:
        """The module called `name`, or None: not below the folders, or it does not parse (see `unreadable`)."""
        if name not in self._modules:
            found = self._read(name)
            self._modules[name] = self.beyond.module(name) if found is None and self.beyond else found
        return self._modules[name]

    def _read(self, name: str) -> Module | None:
        for root, only in self.roots:
            if only and name.partition(".")[0] != only:
                continue
            stem = root.joinpath(*name.split("."))
            for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
                if path.is_file():
                    return self._parsed(name, path, path.relative_to(root).as_posix())
        return None

    def _parsed(self, name: str, path: Path, shown: str) -> Module | None:
        try:
            tree = _tree(path, path.stat().st_mtime_ns, path.stat().st_size)
        except (SyntaxError, ValueError) as error:
            self.unreadable[path] = Unreadable(shown, getattr(error, "lineno", None) or 1, str(error))
            return None
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        names, stars = _bindings(tree, package)
        return Module(name, path, shown, tree, names, stars)

    def find(self, module: Module, dotted: str) -> Found | str | None:
        """What `dotted` means in `module`: a definition, the dotted name of something outside, or None if unbound."""
        return self._find(module, dotted, frozenset())

    def _find(self, module: Module, dotted: str, seen: frozenset[tuple[str, str]]) -> Found | str | None:
        head, _, rest = dotted.partition(".")
        if (module.name, dotted) in seen:
            return None
        seen |= {(module.name, dotted)}
        bound = module.names.get(head)
        if isinstance(bound, Import):
            found = self._imported(bound, rest, seen)
            now = self._now(bound)
            return found if isinstance(found, Found) or now is None else self._imported(now, rest, seen)
        if bound is not None:
            return None if rest else Found(module, head, bound)
        for star in module.stars:
            other = self.module(star)
            found = self._find(other, dotted, seen) if other else None
            if found is not None:
                return found
        return None

    def _now(self, bound: Import) -> Import | None:
        """Where what an import names is declared to have moved."""
        named, whole = self.moved.get(f"{bound.module}:{bound.name}"), self.moved.get(bound.module)
        inner = self.moved.get(f"{bound.module}.{bound.name}") if bound.name else None
        if named:
            return Import(*named.partition(":")[::2], bound.line)
        if whole:
            return Import(whole, bound.name, bound.line)
        return Import(inner, "", bound.line) if inner else None

    def _imported(self, bound: Import, rest: str, seen: frozenset[tuple[str, str]]) -> Found | str | None:
        words = [word for word in (bound.name, *rest.split(".")) if word]
        target = self.module(bound.module)
        while target is not None and words:
            if words[0] in target.names or target.stars:
                inner = self._find(target, ".".join(words), seen)
                if inner is not None:
                    return inner
            deeper = self.module(f"{target.name}.{words[0]}")
            if deeper is None:
                return None
            target, words = deeper, words[1:]
        return ".".join([bound.module, bound.name, *rest.split(".")]).replace("..", ".").rstrip(".")

    def chain(self, cls: Found) -> list[Found | str]:
        """`cls` and what it derives from in the order in which Python asks them; what lies outside by its name."""
        return _linear(self, cls, frozenset())

    def method(self, chain: Sequence[Found | str], name: str) -> Method | None:
        """The first definition of `name` in the bodies of a chain of classes."""
        for base in chain:
            if isinstance(base, Found):
                node = body_names(base.node).get(name)
                if node is not None:
                    return Method(base, name, node)
        return None


@lru_cache(maxsize=128)  # the files of one repo, read for two versions
def _tree(path: Path, stamp: int, size: int) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


@lru_cache(maxsize=256)
def body_names(cls: Definition) -> Mapping[str, Definition]:
    """What the body of a class binds, by name; annotations without a value bind nothing."""
    found: dict[str, Definition] = {}
    for node in _flat(cls.body if isinstance(cls, ast.ClassDef) else []):
        found |= _defined(node)
    return found


def classes_of(module: Module) -> Iterator[Found]:
    """Every class statement of a module, those in functions, conditions and classes too."""
    for node in _classes(module.tree):
        yield Found(module, node.name, node)


@lru_cache(maxsize=128)
def _classes(tree: ast.Module) -> tuple[ast.ClassDef, ...]:
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def dotted_name(node: ast.AST) -> str | None:
    """`a.b.c` of such an expression, else None."""
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(words)]) if isinstance(node, ast.Name) else None


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the body runs, those in conditions too."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _flat(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _flat(handler.body)


def _defined(node: ast.stmt) -> dict[str, Definition]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name: node}
    if isinstance(node, ast.Assign):
        return {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return {node.target.id: node.value}
    return {}


def _bindings(tree: ast.Module, package: str) -> tuple[dict[str, Definition | Import], tuple[str, ...]]:
    names: dict[str, Definition | Import] = {}
    stars: list[str] = []
    for node in _flat(tree.body):
        names |= {**_defined(node), **_imports(node, package)}
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            stars.append(absolute(node, package))
    return names, tuple(stars)


def _imports(node: ast.AST, package: str) -> dict[str, Import]:
    if isinstance(node, ast.ImportFrom):
        source = absolute(node, package)
        return {a.asname or a.name: Import(source, a.name, node.lineno) for a in node.names if a.name != "*"}
    if isinstance(node, ast.Import):
        whole = {a.asname or a.name.partition(".")[0]: a for a in node.names}
        return {n: Import(a.name if a.asname else n, "", node.lineno) for n, a in whole.items()}
    return {}


def with_inner_imports(module: Module, node: ast.AST) -> Module:
    """`module` as a function sees it that imports further names in its own body."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return module
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    inner = {name: bound for part in ast.walk(node) for name, bound in _imports(part, package).items()}
    return replace(module, names={**module.names, **inner}) if inner else module


def absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that `from … import` names, its leading dots resolved against `package`."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _linear(code: Code, cls: Found, seen: frozenset[str]) -> list[Found | str]:
    bases: list[list[Found | str]] = []
    for expression in cls.node.bases if isinstance(cls.node, ast.ClassDef) else []:
        dotted = dotted_name(expression.value if isinstance(expression, ast.Subscript) else expression)
        found = code.find(cls.module, dotted) if dotted else None
        if isinstance(found, Found) and isinstance(found.node, ast.ClassDef) and found.key not in seen:
            bases.append(_linear(code, found, seen | {cls.key}))
        else:
            bases.append([found if isinstance(found, str) else dotted or ast.unparse(expression)])
    return [cls, *_merged([*bases, [base[0] for base in bases]])]


def _merged(rows: list[list[Found | str]]) -> list[Found | str]:
    """The C3 order; where there is none, and Python would refuse the class, the order of writing."""
    made: list[Found | str] = []
    while rows := [row for row in rows if row]:
        later = {_key(item) for row in rows for item in row[1:]}
        head = next((row[0] for row in rows if _key(row[0]) not in later), rows[0][0])
        made.append(head)
        rows = [[item for item in row if _key(item) != _key(head)] for row in rows]
    return made


def _key(item: Found | str) -> str:
    return item.key if isinstance(item, Found) else item
