"""A small Python package with a template of a team's own, to begin with."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.errors import TemplateError, nearest
from carrental_mlops.scaffold.catalogue import names
from carrental_mlops.scaffold.compose import QUESTIONS, REPO_FOLDER
from carrental_mlops.scaffold.rendering import Rendered
from carrental_mlops.scaffold.scratch import scratch
from carrental_mlops.scaffold.team_compose import FROM
from carrental_mlops.scaffold.team_templates import ALLOWED, GROUP

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PROJECT = """[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}-template"
version = "0.1.0"
description = "The template {name} for crm new"
requires-python = ">=3.11"
dependencies = ["carrental-mlops>={version}"]

[project.entry-points."{group}"]
{name} = "{package}_template"

[dependency-groups]
dev = ["pytest>=8.4", "ruff>=0.14", "mypy>=1.18"]

[tool.hatch.build.targets.wheel]
packages = ["src/{package}_template"]
"""
_README = """# {name}

A template for `crm new`. It stands on `{base}` of carrental-mlops: what is not in `src/{package}_template/` comes from
there, in the version that is installed, and follows it at every `crm upgrade`.

- `src/{package}_template/cookiecutter.json`: what it says of itself; questions of its own, and other defaults.
- `src/{package}_template/{folder}/`: files that it adds, or that stand in for those of `{base}`; a file that stands in
  takes the text below it by `{{% include "crm/<path>" %}}`.
- `tests/test_template.py`: rendered, its own checks run, upgraded from `CRM_EARLIER_WHEEL`, the release before.

    uv pip install -e .
    export {allowed}={name}-template
    crm new --template {name} --name my-service
"""
_TEST = '''"""The template as teams get it."""

import os

from carrental_mlops.upgrade.template_check import check_template


def test_the_template_renders_holds_its_checks_and_upgrades() -> None:
    earlier = os.environ.get("CRM_EARLIER_WHEEL")
    check_template("{name}", earlier=[earlier] if earlier else [])
'''
_REPO_README = """{{% include "crm/README.md" %}}
Made from `{name}`.
"""


@dataclass(frozen=True)
class NewPackage:
    """What was made, or in a dry run what would be."""

    path: Path
    files: tuple[str, ...]
    """Relative to `path`, sorted."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"path": str(self.path), "files": list(self.files)}


def new_package(name: str, base: str, parent: Path, *, dry_run: bool = False) -> NewPackage:
    """Make `parent/<name>`, whole or not at all.

    Args:
        name: of the template, kebab-case.
        base: the template of this package that it stands on.
        parent: an existing folder.
        dry_run: write nothing.

    Raises:
        TemplateError: no such base, a name that is not allowed or taken, or a place that is taken or not writable.
    """
    if base not in names():
        raise TemplateError(f"no template `{base}` in carrental-mlops {__version__}", nearest(base, names()))
    if not _NAME.fullmatch(name) or len(name) > 40 or name in names():
        raise TemplateError(
            f"`{name}` is no name for a template: kebab-case, at most 40 characters, none of {', '.join(names())}",
            "crm templates new churn-batch",
        )
    target = parent / name
    if not parent.is_dir() or target.exists():
        raise TemplateError(f"{target} cannot be made: it is there, or {parent} is no folder", "choose another --dir")
    files = _files(name, base)
    if not dry_run:
        try:
            with scratch(parent) as folder:
                for path, file in files.items():
                    (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name / path).write_bytes(file.content)
                os.rename(folder / name, target)  # noqa: PTH104 - one step, and never over what came meanwhile
        except OSError as error:
            raise TemplateError(f"cannot write {target}: {error.strerror}", "choose another --dir") from error
    return NewPackage(target, tuple(sorted(files)))


def _files(name: str, base: str) -> dict[str, Rendered]:
    said = {"name": name, "base": base, "package": _module(name), "version": __version__, "group": GROUP,
            "allowed": ALLOWED, "folder": REPO_FOLDER}  # fmt: skip
    inner = f"src/{_module(name)}_template"
    questions = {FROM: base, "_summary": f"What the team makes of {base}.", "name": f"my-{name}"[:40].rstrip("-")}
    texts = {
        "pyproject.toml": _PROJECT.format(**said),
        "README.md": _README.format(**said),
        ".gitignore": "__pycache__/\n.venv/\ndist/\n",
        "tests/test_template.py": _TEST.format(**said),
        f"{inner}/__init__.py": f'"""The template {name}."""\n',
        f"{inner}/{QUESTIONS}": json.dumps(questions, indent=2) + "\n",
        f"{inner}/{REPO_FOLDER}/README.md": _REPO_README.format(**said),
    }
    return {path: Rendered(text.encode()) for path, text in texts.items()}


def _module(name: str) -> str:
    return name.replace("-", "_")
