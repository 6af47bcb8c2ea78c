"""Write one hook to fill in into a repo's `steps.py`."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path

from carrental_mlops.errors import ConfigError, ContractError, nearest
from carrental_mlops.scaffold.imports import with_imports
from carrental_mlops.scaffold.step_cards import read_override, read_step


@dataclass(frozen=True)
class OverridePlan:
    """A change to `steps.py`, not yet made."""

    root: Path
    path: Path
    before: str
    after: str
    next_step: str
    """What is left to do by hand."""

    def diff(self) -> str:
        """The change as a unified diff."""
        name = self.path.relative_to(self.root).as_posix()
        lines = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(*lines, f"a/{name}", f"b/{name}")).rstrip("\n")

    def write(self) -> str:
        """Make the change; returns `file:line` of the new hook's file, relative to the repo."""
        self.path.write_text(self.after, encoding="utf-8")
        return self.path.relative_to(self.root).as_posix()


def plan_override(root: Path, package: str, step: str, hook: str | None, class_name: str | None) -> OverridePlan:
    """The change that gives the repo a hook of its own.

    Args:
        root: the model repo.
        package: its package under `src/`.
        step: a default step, such as `train`.
        hook: one of its hooks; None where it has just one.
        class_name: of the subclass; None for one made from the package's name.

    Raises:
        ConfigError: no such step or hook, or no package.
        ContractError: `steps.py` does not parse, or overrides that hook already.
    """
    card = read_step(step)
    names = [h["name"] for h in card["hooks"]]
    chosen = _choose(step, names, hook)
    path = root / "src" / package / "steps.py"
    if not path.parent.is_dir():
        raise ConfigError(
            f"src/{package} not found in the repo", "name the package's folder in config/crm.yaml: package"
        )
    before = (
        path.read_text(encoding="utf-8") if path.is_file() else f'"""Where {package} differs from the defaults."""\n'
    )
    tree = _parse(path, before)
    theirs = _subclass_of(card["class"], tree)
    name = theirs.name if theirs else class_name or _camel(package) + card["class"].removesuffix("Step")
    text = _render(step, name, package, chosen)
    if theirs is None:
        _refuse_taken(tree, name, path)
        after = f"{before.rstrip()}\n\n\n{text}"
        wanted = [f"from {card['module']} import {card['class']}"]
        imported = f"from {package}.steps import {name}"
        left = f"In src/{package}/pipelines.py: {imported}; in your pipeline: {step} = step({name})"
    else:
        after = _insert(before, theirs, text, path)
        wanted, left = [], f"{name} is the subclass you had; pipelines.py needs no change if it already runs it"
    hook_card = next(h for h in card["hooks"] if h["name"] == chosen)
    late = [_LATE] if "pd.Series[" in hook_card["signature"] else []
    return OverridePlan(root, path, before, with_imports(after, [*late, *wanted, *hook_card["imports"]], package), left)


_LATE = "from __future__ import annotations"
"""What a subscripted `pd.Series` needs: pandas has it in its type stubs only."""


def _choose(step: str, names: list[str], hook: str | None) -> str:
    if not names:
        raise ConfigError(f"step `{step}` has no hook", f"its settings say it all: crm steps show {step}")
    if hook is None and len(names) > 1:
        raise ConfigError(f"step `{step}` has {len(names)} hooks", f"add --hook {' or --hook '.join(names)}")
    chosen = hook or names[0]
    if chosen not in names:
        raise ConfigError(f"step `{step}` has no hook `{chosen}`", f"crm hooks {step}; {nearest(chosen, names)}")
    return chosen


def _parse(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ContractError(f"{path}:{error.lineno}: {error.msg}", "mend the syntax there") from error


def _subclass_of(base: str, tree: ast.Module) -> ast.ClassDef | None:
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    return next((c for c in classes if any(ast.unparse(b).split(".")[-1] == base for b in c.bases)), None)


def _refuse_taken(tree: ast.Module, name: str, path: Path) -> None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            raise ContractError(
                f"{path}:{node.lineno}: there is a class `{name}` already", "choose another: --class NAME"
            )


def _insert(text: str, cls: ast.ClassDef, rendered: str, path: Path) -> str:
    """`text` with the rendered class's method at the end of `cls`."""
    made = ast.parse(rendered).body[0]
    assert isinstance(made, ast.ClassDef)  # noqa: S101 - the catalogue's own text
    method = made.body[-1]
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == getattr(method, "name", ""):
            raise ContractError(f"{path}:{node.lineno}: `{cls.name}.{node.name}` is there already", "edit it there")
    lines, new = text.splitlines(), rendered.splitlines()
    end = cls.end_lineno or len(lines)
    return "\n".join([*lines[:end], "", *new[method.lineno - 1 : method.end_lineno], *lines[end:]]) + "\n"


def _camel(package: str) -> str:
    return "".join(part.capitalize() for part in package.split("_"))


def _render(step: str, class_name: str, service: str, hook: str) -> str:
    from jinja2 import Environment, StrictUndefined, select_autoescape

    environment = Environment(
        autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(read_override(step)).render(class_name=class_name, service=service, hook=hook)
