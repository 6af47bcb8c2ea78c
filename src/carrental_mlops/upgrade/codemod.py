"""A repo's code brought to what a newer version declares in `core/deprecated.py`, where that is safe by machine."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import io
import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops.core.deprecated import Change
from carrental_mlops.errors import ConfigError
from carrental_mlops.files import whole_file
from carrental_mlops.scaffold.versions import Material
from carrental_mlops.upgrade.deprecations import declared
from carrental_mlops.upgrade.repo_overrides import RepoCode, package_chain

if TYPE_CHECKING:
    from carrental_mlops.upgrade.codemod_rewrite import Rewritten

COMMAND = "crm upgrade --fix"
"""What applies the codemod."""
_IGNORED = {"__pycache__", "node_modules", "build", "dist", "venv", "env", "site-packages"}


class NotInstalled(ConfigError):
    """libcst is not installed here."""


@dataclass(frozen=True)
class FileChange:
    """One file before and after."""

    path: str
    """Relative to the repo, with `/`."""
    before: bytes
    after: bytes


@dataclass(frozen=True)
class ByHand:
    """What a person has to do, since no machine can do it safely."""

    place: str
    """`file:line`."""
    what: str


@dataclass(frozen=True)
class CodemodPlan:
    """What the codemod would do to a repo; nothing is written yet."""

    root: Path
    files: tuple[FileChange, ...] = ()
    by_hand: tuple[ByHand, ...] = ()

    def diff(self) -> str:
        """The changes as one unified diff; empty where there are none."""
        made: list[str] = []
        for change in self.files:
            old, new = (_text(content).splitlines(keepends=True) for content in (change.before, change.after))
            for line in difflib.unified_diff(old, new, f"a/{change.path}", f"b/{change.path}"):
                made.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
        return "".join(made)

    def write(self) -> list[str]:
        """Make the changes, each file whole, its mode kept; returns their paths.

        Raises:
            ConfigError: a file has changed since the plan was made; nothing is written.
            PlatformError: a file cannot be written.
        """
        for change in self.files:
            if (self.root / change.path).read_bytes() != change.before:
                raise ConfigError(f"{change.path} has changed since the codemod was planned", COMMAND)
        for change in self.files:
            target = (self.root / change.path).resolve()
            mode = target.stat().st_mode
            with whole_file(target) as draft:
                draft.write_bytes(change.after)
            target.chmod(mode)
        return [change.path for change in self.files]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        by_hand = [{"place": item.place, "what": item.what} for item in self.by_hand]
        return {"files": [change.path for change in self.files], "diff": self.diff(), "by_hand": by_hand}


def plan(root: Path, old: Material, new: Material) -> CodemodPlan:
    """The changes that bring a repo's code to `new`, and what is left to a person; planned again it is empty.

    Args:
        root: the model repo; its Python files outside hidden and built folders are looked at.
        old: the version that the repo stands on.
        new: the version to go to; what it declares in `core/deprecated.py` is made, oldest first.

    Raises:
        NotInstalled: libcst is missing.
        TemplateError: the newer version declares a change that this `crm` does not know.
    """
    changes = declared(new)
    if not changes:
        return CodemodPlan(root)
    if importlib.util.find_spec("libcst") is None:
        raise NotInstalled("the codemod needs libcst, which is not installed", "uv pip install libcst")
    work = _Work(root, old, new)
    for change in changes:
        if change.kind == "moved_import":
            work.move(change)
        else:
            work.follow(change)
    return work.plan()


@contextmanager
def rewritten(root: Path, plan: CodemodPlan) -> Iterator[Path]:
    """A copy of the repo's `src/` in a temporary folder, with the plan made in it."""
    with tempfile.TemporaryDirectory(prefix="crm-codemod-") as folder:
        copy = Path(folder) / "repo"
        shutil.copytree(root / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", ".*"), symlinks=True)
        for change in plan.files:
            if change.path.startswith("src/"):
                (copy / change.path).write_bytes(change.after)
        yield copy


class _Work:
    """The files of a repo as they become, one change after another."""

    def __init__(self, root: Path, old: Material, new: Material) -> None:
        self.root = root
        self.before = {path: (root / path).read_bytes() for path in _python_files(root)}
        self.now = dict(self.before)
        self.hand: dict[ByHand, None] = {}
        self.holders: dict[tuple[str, str], set[str]] = {}
        """File and class of the repo to the classes of the package that it derives from."""
        self.arguments: dict[str, set[str]] = {}
        """`Class.hook` as the repo knows it to its arguments, kept in step with the changes made."""
        for code in (RepoCode(root, old), RepoCode(root, new)):
            for cls, chain in code.classes:
                names = {base.name for base in package_chain(chain)}
                self.holders.setdefault((f"src/{cls.module.shown}", cls.name), set()).update(names)
                for hook in code.hooks(chain).values() if code.version == old else ():
                    self.arguments[f"{hook.owner}.{hook.name}"] = {p.name for p in hook.parameters}

    def follow(self, change: Change) -> None:
        """A change of a hook, in each class of the repo that has it."""
        from carrental_mlops.upgrade import codemod_rewrite as rewrites

        if not self._concerns(change):
            return
        for path in sorted({path for path, _ in self.holders}):
            classes = frozenset(n for (p, n), bases in self.holders.items() if p == path and change.owner in bases)
            if classes and path in self.now:
                self._take(path, rewrites.rewrite_hook(self.now[path], change, classes))
        if change.kind in ("renamed_hook", "removed_hook"):
            self._mentions(change)

    def _concerns(self, change: Change) -> bool:
        """Whether the repo's version has the hook as it was before the change; notes what it is afterwards."""
        known = self.arguments.get(change.of)
        if known is None:
            return False
        if change.kind == "renamed_hook":
            self.arguments[f"{change.owner}.{change.new}"] = self.arguments.pop(change.of)
        elif change.kind in ("renamed_argument", "removed_argument"):
            if change.old not in known:
                return False
            self.arguments[change.of] = (known - {change.old}) | ({change.new} - {""})
        elif change.kind == "added_argument":
            if change.new in known:
                return False
            self.arguments[change.of] = known | {change.new}
        return True

    def move(self, change: Change) -> None:
        """A moved import, in each file."""
        from carrental_mlops.upgrade import codemod_rewrite as rewrites

        for path, content in self.now.items():
            if change.of.partition(":")[0].encode().rpartition(b".")[2] in content:
                self._take(path, rewrites.rewrite_imports(content, change))

    def _take(self, path: str, made: Rewritten) -> None:
        ast.parse(made.content)
        self.now[path] = made.content
        self.hand |= {ByHand(f"{path}:{line}", what): None for line, what in made.by_hand}

    def _mentions(self, change: Change) -> None:
        """Uses of the old name on an object of the repo's classes, outside them: nobody can tell what the object is."""
        classes = {name for (_, name), bases in self.holders.items() if change.owner in bases}
        for path, content in self.now.items():
            if change.hook.encode() in content:
                for line, text in _uses(ast.parse(content), change.hook, classes):
                    instead = f"it is called `{change.new}` now" if change.new else change.advice
                    self.hand[ByHand(f"{path}:{line}", f"`{text}`: where that is the hook, {instead}")] = None

    def plan(self) -> CodemodPlan:
        """What has been done and what is left."""
        files = [FileChange(path, self.before[path], now) for path, now in self.now.items() if now != self.before[path]]
        return CodemodPlan(self.root, tuple(sorted(files, key=lambda f: f.path)), tuple(self.hand))


def _python_files(root: Path) -> Iterator[str]:
    """Those that parse, relative to the repo; what does not parse is the report's to name."""
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if name not in _IGNORED and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.endswith(".py") and path.is_file():
                try:
                    ast.parse(path.read_bytes())
                except (SyntaxError, ValueError):
                    continue
                yield path.relative_to(root).as_posix()


def _uses(tree: ast.Module, name: str, classes: set[str]) -> Iterator[tuple[int, str]]:
    if not any(isinstance(n, ast.Name) and n.id in classes for n in ast.walk(tree)):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load):
            of = node.value
            above = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super"
            if not above and not (isinstance(of, ast.Name) and of.id == "self"):
                yield node.lineno, ast.unparse(node)


def _text(content: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding)
