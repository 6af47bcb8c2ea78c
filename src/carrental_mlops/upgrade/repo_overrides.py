"""The hooks that a repo overrides, found in its sources without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from carrental_mlops.scaffold.versions import PACKAGE, Material
from carrental_mlops.upgrade.code import Code, Found, Import, Method, Module, absolute, body_names, classes_of
from carrental_mlops.upgrade.hook_diff import Hook, hooks

_IGNORED = {"__pycache__", "node_modules", "site-packages", "build", "dist"}


@dataclass(frozen=True, eq=False)
class Override:
    """One method of the repo that stands in for a hook."""

    hook: Hook
    """As the version knows it that the override was found under."""
    method: Method
    classes: tuple[str, ...]
    """The classes of the repo whose hook it is, in order of writing."""

    @property
    def function(self) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The method, or the function of the same module that the class body names; None where it is another value."""
        node = self.method.node
        if isinstance(node, ast.Name):
            bound = self.method.owner.module.names.get(node.id)
            node = bound if isinstance(bound, ast.FunctionDef | ast.AsyncFunctionDef) else node
        return node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None

    @property
    def place(self) -> str:
        """`src/<package>/steps.py:21`."""
        return f"src/{self.method.place}"


@dataclass(frozen=True)
class Lost:
    """A name that the repo imports from the package, and that the newer version does not have there."""

    place: str
    module: str
    name: str


class RepoCode:
    """A repo's sources beside one version of the package."""

    def __init__(self, root: Path, version: Material, moved: Mapping[str, str] | None = None) -> None:
        self.root, self.version = root, version
        self.package, self._hooks = _package(version)
        self.code = Code(((root / "src", ""),), self.package, moved or {})

    @cached_property
    def modules(self) -> list[Module]:
        """Those of the repo under `src/`, sorted by name; what does not parse stands in `code.unreadable`."""
        source = self.root / "src"
        paths = sorted(p for p in source.rglob("*.py") if not _IGNORED & set(p.relative_to(source).parts))
        names = [p.relative_to(source).with_suffix("").as_posix().replace("/", ".") for p in paths]
        found = (self.code.module(name.removesuffix(".__init__")) for name in names if not _hidden(name))
        return [module for module in found if module is not None]

    @cached_property
    def classes(self) -> list[tuple[Found, list[Found | str]]]:
        """Each class of the repo that derives from one of the package, with its chain."""
        found = [(cls, self.code.chain(cls)) for module in self.modules for cls in classes_of(module)]
        return [(cls, chain) for cls, chain in found if any(map(is_ours, chain))]

    @cached_property
    def overrides(self) -> list[Override]:
        """Every override, once, by file and line."""
        found: dict[tuple[str, str, str], Override] = {}
        for cls, chain in self.classes:
            for hook, method in self._overridden(chain):
                key = (method.place, hook.owner, hook.name)
                known = found[key].classes if key in found else ()
                found[key] = Override(hook, method, (*known, cls.name))
        return sorted(found.values(), key=lambda o: (o.method.owner.module.shown, o.method.node.lineno))

    def _overridden(self, chain: list[Found | str]) -> Iterator[tuple[Hook, Method]]:
        for name, hook in self.hooks(chain).items():
            method = self.code.method(chain, name)
            if method is not None and not is_ours(method.owner):
                yield hook, method

    def hooks(self, chain: list[Found | str]) -> dict[str, Hook]:
        """The hooks that the package gives a class of the repo."""
        ours = package_chain(chain)
        key = " ".join(base.key for base in ours)
        if key not in self._hooks:
            self._hooks[key] = hooks(self.package, ours)
        return self._hooks[key]

    def imports(self) -> Iterator[tuple[str, Import]]:
        """`file:line` and binding of each import from the package, those inside functions too."""
        for module in self.modules:
            for node in ast.walk(module.tree):
                package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
                if isinstance(node, ast.ImportFrom) and _from_package(source := absolute(node, package)):
                    for alias in node.names:
                        yield f"src/{module.shown}:{node.lineno}", Import(source, alias.name, node.lineno)
                elif isinstance(node, ast.Import):
                    for alias in node.names:
                        if _from_package(alias.name):
                            yield f"src/{module.shown}:{node.lineno}", Import(alias.name, "", node.lineno)

    def has(self, bound: Import) -> bool:
        """Whether this version has what an import names."""
        module = self.package.module(bound.module)
        if module is None:
            return False
        known = not bound.name or bound.name == "*" or bound.name in module.names or "__getattr__" in module.names
        return known or bool(module.stars) or self.package.module(f"{bound.module}.{bound.name}") is not None


@cache
def _package(version: Material) -> tuple[Code, dict[str, dict[str, Hook]]]:
    """The sources of a version and the hooks read from them so far, kept for the next repo; a version never changes."""
    return Code(((version.root, PACKAGE),)), {}


def lost_imports(old: RepoCode, new: RepoCode) -> list[Lost]:
    """What the repo imports from the package, the old version has and the new one has not."""
    gone = [(place, bound) for place, bound in new.imports() if not new.has(bound) and old.has(bound)]
    return [Lost(place, bound.module, bound.name) for place, bound in gone]


def is_ours(item: Found | str) -> bool:
    """Whether a class of a chain is one of the package."""
    return isinstance(item, Found) and _from_package(item.module.name)


def package_chain(chain: list[Found | str]) -> list[Found]:
    """The part of a chain that is the package's."""
    return [item for item in chain if isinstance(item, Found) and is_ours(item)]


def own_names(chain: list[Found | str]) -> dict[str, Method]:
    """What the repo's classes of a chain bind, the nearest first; Python's own names left out."""
    found: dict[str, Method] = {}
    for base in chain:
        if isinstance(base, Found) and not is_ours(base):
            for name, node in body_names(base.node).items():
                if not (name.startswith("__") and name.endswith("__")):
                    found.setdefault(name, Method(base, name, node))
    return found


def _from_package(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _hidden(name: str) -> bool:
    return any(not part.isidentifier() for part in name.split("."))
