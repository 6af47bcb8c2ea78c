"""Whole cookiecutter templates out of `templates/_base` and the flavours. Standard library only: the build runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from carrental_mlops.errors import TemplateError

BASE = "_base"
QUESTIONS = "cookiecutter.json"
REPO_FOLDER = "{{cookiecutter.name}}"
REQUIREMENTS = {"pipelines.txt": "pipelines.txt", "repo.txt": "dev.txt", "serving.txt": "serving.txt"}
"""Of the package: what it is called in a model repo."""
_JUNK = {"__pycache__", ".DS_Store", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def flavours(sources: Path) -> list[str]:
    """Names of the templates that `sources` can compose, sorted; the base is none."""
    return sorted(p.parent.name for p in sources.glob(f"*/{QUESTIONS}") if not p.parent.name.startswith("_"))


def compose(sources: Path, flavour: str, requirements: Path, version: str, into: Path) -> Path:
    """One flavour laid over the base, complete for plain cookiecutter.

    Args:
        sources: the folder that holds `_base` and the flavours.
        flavour: a folder of `sources`.
        requirements: the folder of the package's hashed requirements files; every repo starts from them.
        version: of the package; the repo pins it.
        into: a folder that does not exist yet.

    Returns:
        `into`.

    Raises:
        TemplateError: a file stands in base and flavour both, or is a link.
    """
    for layer in (sources / BASE, sources / flavour):
        for path in files_of(layer):
            if path.as_posix() != QUESTIONS:
                _copy(layer / path, into / path)
    for name, theirs in REQUIREMENTS.items():
        _copy(requirements / name, into / REPO_FOLDER / "requirements" / theirs)
    questions = _questions(sources / BASE) | _questions(sources / flavour)
    questions |= {"_crm_template": flavour, "_crm_version": version, "_copy_without_render": ["requirements/*"]}
    (into / QUESTIONS).write_text(json.dumps(questions, indent=2) + "\n", encoding="utf-8")
    return into


def files_of(folder: Path) -> list[Path]:
    """Every file below `folder`, relative to it, sorted; what tools leave behind does not count.

    Raises:
        TemplateError: one is a link, which could lead out of the folder.
    """
    found = sorted(p for p in folder.rglob("*") if not _JUNK.intersection(p.relative_to(folder).parts))
    for path in found:
        if path.is_symlink():
            raise TemplateError(f"{path} is a link: a template holds plain files only", f"replace it by a file: {path}")
    return [p.relative_to(folder) for p in found if p.is_file()]


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        raise TemplateError(f"{source} stands in the base already", "keep it in one place, or make it a variable")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _questions(layer: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((layer / QUESTIONS).read_text(encoding="utf-8"))
    return answers
