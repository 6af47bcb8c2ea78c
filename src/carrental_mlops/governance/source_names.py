"""Names that the modules of a repo bind, read from their text."""

from __future__ import annotations

import ast


class Module:
    """Names that a module binds: to an expression, or to a name of another module."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path, self.tree = path, tree
        self.values: dict[str, ast.expr] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                self.values |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.values[node.target.id] = node.value
        for inner in ast.walk(tree):
            if isinstance(inner, ast.ImportFrom) and inner.module:
                for alias in inner.names:
                    self.imports[alias.asname or alias.name] = (inner.module, alias.name)
            elif isinstance(inner, ast.Import):
                for alias in inner.names:
                    self.imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")


def last(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def dotted(path: str) -> str:
    """`src/pay/deep/views.py` as `pay.deep.views`."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
