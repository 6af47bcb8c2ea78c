"""A team's template laid over one of this package's: its files, and ours by reference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.compose import QUESTIONS, REPO_FOLDER, files_of
from carrental_mlops.scaffold.ownership import TemplatePackage
from carrental_mlops.scaffold.rendering import FOREIGN
from carrental_mlops.scaffold.team_templates import NO_CODE

FROM = "_crm_from"
"""The key of a team's questions that names the template of ours that it stands on."""
INCLUDED = Path("templates", "crm")
"""Where a file of ours lies that a team's file replaces: `{% include "crm/README.md" %}`."""
_OURS = {"_crm_template", "_crm_version", FOREIGN}
_KEYS = {FROM, "_summary", "_copy_without_render", "__prompts__"}
_CODE = {"_extensions", "_jinja2_env_vars"}
"""Keys of cookiecutter that would import or change what renders."""
_MOST_FILES, _MOST_BYTES, _MOST_TEXT, _MOST_FILTERS = 1000, 8 << 20, 200, 3
_FILTERS = {"replace", "lower", "upper", "title", "trim", "slugify"}


def team_compose(
    name: str, package: TemplatePackage, theirs: Path, ours: Callable[[str], Path], version: str, into: Path
) -> Path:
    """A team's template, complete: ours with the team's files in it, those of ours that they replace kept to include.

    Args:
        name: of the template.
        package: that it comes from.
        theirs: the team's folder, with `cookiecutter.json` that names ours as `_crm_from`.
        ours: name of one of this package's templates to its whole folder.
        version: of this package.
        into: a folder that does not exist, or is empty.

    Returns:
        `into`.

    Raises:
        TemplateError: it would run code, lead out of its folder, ask for more than text, or is not what ours are.
    """
    told = _questions(theirs, name)
    base = ours(str(told[FROM]))
    for path in files_of(base):
        _copy(base / path, into / path)
    for path in _files(theirs, name):
        if (into / path).exists():
            _set_aside(into, path, name)
        _copy(theirs / path, into / path)
    had: dict[str, Any] = json.loads((base / QUESTIONS).read_text(encoding="utf-8"))
    questions = {**had, **told, "__prompts__": {**had.get("__prompts__", {}), **told.get("__prompts__", {})}}
    questions["_copy_without_render"] = [*had.get("_copy_without_render", []), *told.get("_copy_without_render", [])]
    questions |= {"_crm_template": name, "_crm_version": version, FOREIGN: vars(package)}
    (into / QUESTIONS).write_text(json.dumps(questions, indent=2) + "\n", encoding="utf-8")
    return into


def _files(theirs: Path, name: str) -> list[Path]:
    found = [path for path in files_of(theirs) if path.as_posix() != QUESTIONS]
    size = sum((theirs / path).stat().st_size for path in found)
    if len(found) > _MOST_FILES or size > _MOST_BYTES:
        raise TemplateError(
            f"template {name} has {len(found)} files, {size} bytes; at most {_MOST_FILES} and {_MOST_BYTES} may be",
            "keep data out of a template",
        )
    for path in found:
        if path.parts[0] == "hooks":
            raise TemplateError(
                f"template {name} has hooks, which would run its code here", f"rm -r {theirs / 'hooks'}; {NO_CODE}"
            )
        if path.name != "__init__.py" and path.parts[0] not in (REPO_FOLDER, "templates"):
            raise TemplateError(
                f"template {name}: {path} is in no place of a template", f"move it below {REPO_FOLDER}/"
            )
        if path.parts[:2] == INCLUDED.parts or path.parts[1:2] == ("requirements",):
            what = "crm/ in templates/ is for the texts of this package, and requirements/ is its own"
            raise TemplateError(f"template {name}: {path}: {what}", f"rm {theirs / path}")
    return [path for path in found if path.parts[0] in (REPO_FOLDER, "templates")]


def _set_aside(into: Path, path: Path, name: str) -> None:
    if path.parts[0] != REPO_FOLDER:
        raise TemplateError(f"template {name}: {path} stands in the template below already", "give it another name")
    _copy(into / path, into / INCLUDED / path.relative_to(REPO_FOLDER))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _questions(theirs: Path, name: str) -> dict[str, Any]:
    """The team's questions, held to plain text."""
    place = theirs / QUESTIONS
    try:
        if place.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        told = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TemplateError(f"{place}: {error}", "write it as `crm templates new` does") from error
    if not isinstance(told, dict) or not isinstance(told.get(FROM), str):
        raise TemplateError(f"{place} does not say what it stands on", f'add "{FROM}": "fraud-realtime"')
    for key, value in told.items():
        why = _refused(key, value)
        if why:
            also = f"; {NO_CODE}" if key in _CODE else ", or write plain text"
            raise TemplateError(f"{place}: `{key}` {why}", f"remove `{key}` from the template {name}{also}")
    return told


def _refused(key: str, value: Any) -> str | None:
    if key in _OURS or (key.startswith("_") and key not in _KEYS):
        return "is no key that a template of a team may set"
    if key == "__prompts__":
        plain = isinstance(value, dict) and all(_plain(text) for pair in value.items() for text in pair)
        return None if plain else "is not a line of text for each question"
    if key == "_copy_without_render":
        return None if isinstance(value, list) and all(map(_plain, value)) else "is not a list of patterns"
    values = value if isinstance(value, list) and value else [value]
    if not all(map(_plain, values)):
        return f"is not text of at most {_MOST_TEXT} characters on one line"
    if key.startswith("_") or isinstance(value, list):
        return "holds tags" if any("{{" in text or "{%" in text for text in values) else None
    return _default_refused(value)


def _plain(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_TEXT and value.isprintable()


def _default_refused(text: str) -> str | None:
    """Why a default is refused: it is filled in here and not apart, so it names answers and little else."""
    if "{" not in text:
        return None
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment(autoescape=True).parse(text)
    except (TemplateSyntaxError, RecursionError) as error:
        return f"does not parse: {error}"
    allowed = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Getattr, nodes.Name, nodes.Filter, nodes.Const)
    inner = list(tree.find_all(nodes.Node))
    beyond = [n for n in inner if not isinstance(n, allowed)]
    beyond += [n for n in inner if isinstance(n, nodes.Name) and n.name != "cookiecutter"]
    beyond += [n for n in inner if isinstance(n, nodes.Getattr) and (n.attr.startswith("_") or not _of_answers(n))]
    filters = [n.name for n in inner if isinstance(n, nodes.Filter)]
    if beyond or set(filters) - _FILTERS or len(filters) > _MOST_FILTERS:
        return f"may name answers and at most {_MOST_FILTERS} of the filters {', '.join(sorted(_FILTERS))}"
    return None


def _of_answers(node: Any) -> bool:
    return getattr(node.node, "name", "") == "cookiecutter"
