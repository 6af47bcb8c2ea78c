"""A template as files in memory: compiled once, rendered for any number of repos, equal to plain cookiecutter.

It runs in Jinja's sandbox and sees the answers and its own text alone. What would run code or give another text next
time (hooks, extensions, random values, the clock) is refused: an upgrade renders the old version again.
"""

from __future__ import annotations

import fnmatch
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carrental_mlops.errors import TemplateError
from carrental_mlops.scaffold.compose import QUESTIONS, REPO_FOLDER, files_of

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

FOREIGN = "_crm_package"
"""The key of a template's questions that names the package it comes from, where that is not this one."""
_JINJA_SETTINGS = {"trim_blocks", "lstrip_blocks", "keep_trailing_newline"}


@dataclass(frozen=True)
class Rendered:
    """One file of a rendered template."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class _Source:
    """One file of a template; a template that has no tags renders to itself."""

    path: str
    name: str | Template
    rest: str
    """What follows the rendered name as it stands."""
    content: bytes | Template
    newline: str | None
    executable: bool


class Rendering:
    """A template, compiled.

    Args:
        folder: a whole cookiecutter template.
        apart: compile and render in a bounded process; None: where it comes from another package than this one.

    Raises:
        TemplateError: it has hooks, extensions, links, or text that is no Jinja.
    """

    def __init__(self, folder: Path, *, apart: bool | None = None) -> None:
        self._name = folder.name
        self._told: dict[str, Any] = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))
        self._apart = folder if (FOREIGN in self._told if apart is None else apart) else None
        if (folder / "hooks").exists() or self._told.get("_extensions"):
            raise TemplateError(
                f"template {folder.name} has hooks or extensions, which would run its code here",
                f"remove hooks/ and _extensions from {folder}",
            )
        if self._apart:
            return
        own = [p for p in files_of(folder) if p.parts[0] in (REPO_FOLDER, "templates")]
        texts = {p: (folder / p).read_bytes() for p in own}
        self._environment = _environment(
            {_loaded_as(p): text for p, raw in texts.items() if (text := _text(raw)) is not None},
            self._told.get("_jinja2_env_vars", {}),
        )
        self._sources = [
            self._compiled(folder, p.relative_to(REPO_FOLDER).as_posix(), raw)
            for p, raw in texts.items()
            if p.parts[0] == REPO_FOLDER
        ]

    def files(self, answers: Mapping[str, str]) -> dict[str, bytes]:
        """Path (relative to the repo, with `/`) to content, sorted; see `rendered`."""
        return {path: found.content for path, found in self.rendered(answers).items()}

    def rendered(self, answers: Mapping[str, str]) -> dict[str, Rendered]:
        """Every file of the repo that these answers make.

        Args:
            answers: to every question of the template.

        Returns:
            Path relative to the repo, with `/`, to what is there; sorted. A file whose name renders to nothing is none.

        Raises:
            TemplateError: a text reads what is not there or not allowed, a path leads out of the repo or into `.git`,
                or two files have one path.
        """
        if self._apart:
            from carrental_mlops.scaffold.rendering_apart import rendered_apart

            return rendered_apart(self._apart, answers)
        context = {"cookiecutter": self._context(answers)}
        found: dict[str, Rendered] = {}
        for source in self._sources:
            path = self._path(source, context)
            if path is None:
                continue
            if path in found:
                raise self._broken(source.path, f"a second file renders to {path}")
            found[path] = Rendered(self._content(source, context), source.executable)
        for path in found:
            for parent in Path(path).parents:
                if parent.as_posix() in found:
                    raise self._broken(path, f"{parent} is a file and a folder")
        return dict(sorted(found.items()))

    def _context(self, answers: Mapping[str, str]) -> dict[str, Any]:
        raw = {k: v for k, v in self._told.items() if k.startswith("_") and not k.startswith("__")}
        context = {**raw, **answers}
        for key, value in self._told.items():
            if key.startswith("__") and key != "__prompts__":
                made = self._compile(key, str(value))
                context[key] = made if isinstance(made, str) else self._render(key, made, {"cookiecutter": context})
        return context

    def _compiled(self, folder: Path, path: str, raw: bytes) -> _Source:
        executable = bool((folder / REPO_FOLDER / path).stat().st_mode & 0o100)
        copied = self._copied(path)
        name = self._compile(path, copied or path)
        rest = path.removeprefix(copied) if copied else ""
        text = None if copied else _text(raw)
        if text is None:
            return _Source(path, name, rest, raw, None, executable)
        compiled = self._compile(path, text)
        newline = self._told.get("_new_lines") or _newline(raw)
        content = _encoded(compiled, newline) if isinstance(compiled, str) else compiled
        return _Source(path, name, rest, content, newline, executable)

    def _copied(self, path: str) -> str | None:
        """The part of `path` that a pattern of `_copy_without_render` takes: a folder or the file itself."""
        patterns = self._told.get("_copy_without_render", [])
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        return next((head for head in heads if any(fnmatch.fnmatch(head, p) for p in patterns)), None)

    def _compile(self, path: str, text: str) -> str | Template:
        """`text` itself where it has no tags."""
        if not any(tag in text for tag in ("{{", "{%", "{#")):
            return text
        from jinja2 import TemplateError as JinjaError

        try:
            return self._environment.from_string(text)
        except JinjaError as error:
            raise self._broken(path, str(error)) from error

    def _path(self, source: _Source, context: dict[str, Any]) -> str | None:
        name = source.name if isinstance(source.name, str) else self._render(source.path, source.name, context)
        return path_inside(name + source.rest, self._name)

    def _content(self, source: _Source, context: dict[str, Any]) -> bytes:
        if isinstance(source.content, bytes):
            return source.content
        return _encoded(self._render(source.path, source.content, context), source.newline)

    def _render(self, path: str, template: Template, context: dict[str, Any]) -> str:
        try:
            return template.render(context)
        except Exception as error:  # a filter may raise anything; whatever it is, this place does not render
            raise self._broken(path, str(error)) from error

    def _broken(self, path: str, why: str) -> TemplateError:
        return TemplateError(
            f"template {self._name} does not render: {path}: {why}",
            f"mend that place in the template `{self._name}` or the answer it reads",
        )


def path_inside(path: str, template: str) -> str | None:
    """The path that a name rendered to, in one spelling; None where it is no file.

    Raises:
        TemplateError: it leads out of the repo or into its `.git`.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path or any(part.lower() == ".git" for part in parts):
        raise TemplateError(
            f"a path of {template} renders to {path}, outside the new repo or into its .git",
            "rename it in the template, or mend the answer that its name reads",
        )
    return None if not path or path.endswith("/") else "/".join(parts)


def _environment(texts: dict[str, str], settings: dict[str, Any]) -> SandboxedEnvironment:
    from jinja2 import DictLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    beyond = sorted(set(settings) - _JINJA_SETTINGS)
    if beyond:
        raise TemplateError(f"_jinja2_env_vars sets {', '.join(beyond)}", f"only {', '.join(sorted(_JINJA_SETTINGS))}")
    made = SandboxedEnvironment(
        undefined=StrictUndefined,
        loader=DictLoader(texts),
        **{"keep_trailing_newline": True, **settings},
    )
    made.filters["jsonify"] = _jsonify
    made.filters["slugify"] = _slugify
    return made


def _jsonify(value: Any, indent: int = 4) -> str:
    return json.dumps(value, sort_keys=True, indent=indent)


def _slugify(value: str, **settings: Any) -> str:
    from slugify import slugify

    return str(slugify(value, **settings))


def _loaded_as(path: Path) -> str:
    return path.relative_to(path.parts[0]).as_posix()


def _text(raw: bytes) -> str | None:
    """The text with `\\n` alone; None for what is not UTF-8 or holds a zero byte."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n")


def _newline(raw: bytes) -> str:
    """What ends the lines, as cookiecutter sees it: the first kind that Python met when it read one line."""
    reader = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
    reader.readline()
    found = reader.newlines
    return found[0] if isinstance(found, tuple) else found or "\n"


def _encoded(text: str, newline: str | None) -> bytes:
    return (text if newline in (None, "\n") else text.replace("\n", newline)).encode("utf-8")
