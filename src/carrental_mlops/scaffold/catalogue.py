"""Which templates there are, and each one as a folder that cookiecutter can render."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops import __version__
from carrental_mlops.assets import asset_dir
from carrental_mlops.errors import TemplateError, nearest
from carrental_mlops.scaffold.compose import BASE, QUESTIONS, compose, flavours


@dataclass(frozen=True)
class Question:
    """One thing a template asks."""

    name: str
    prompt: str
    """What a person reads."""
    default: str
    """A Jinja expression of the answers before it, or plain text."""
    choices: tuple[str, ...] = ()
    """Allowed answers; none for free text."""


@dataclass(frozen=True)
class Template:
    """One entry of the catalogue."""

    name: str
    summary: str
    version: str
    """Of the package that carries it."""
    questions: tuple[Question, ...]


def names() -> list[str]:
    """Names of all templates, sorted."""
    return flavours(asset_dir("templates"))


def catalogue() -> list[Template]:
    """All templates, sorted by name."""
    return [find(name) for name in names()]


def find(name: str) -> Template:
    """One template, described.

    Raises:
        TemplateError: there is none of that name; says which is closest.
    """
    with template_dir(name) as folder:
        return describe(folder)


@contextmanager
def template_dir(name: str) -> Iterator[Path]:
    """The whole cookiecutter template, there until the block ends.

    Raises:
        TemplateError: there is none of that name; says which is closest.
    """
    sources = asset_dir("templates")
    if name not in flavours(sources):
        raise TemplateError(f"no template `{name}` in carrental-mlops {__version__}", nearest(name, flavours(sources)))
    if not (sources / BASE).is_dir():
        yield sources / name
        return
    with tempfile.TemporaryDirectory(prefix="crm-template-") as scratch:
        yield compose(sources, name, asset_dir("requirements"), __version__, Path(scratch) / name)


def describe(folder: Path) -> Template:
    """What a composed template asks and says of itself."""
    told: dict[str, Any] = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))
    prompts: dict[str, str] = told.get("__prompts__", {})
    return Template(
        name=told["_crm_template"],
        summary=told["_summary"],
        version=told["_crm_version"],
        questions=tuple(
            Question(
                name=key,
                prompt=prompts.get(key, key),
                default=value[0] if isinstance(value, list) else str(value),
                choices=tuple(value) if isinstance(value, list) else (),
            )
            for key, value in told.items()
            if not key.startswith("_")
        ),
    )
