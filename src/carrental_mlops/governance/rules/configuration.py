"""Family 1: crm.yaml, its overlays, the editors' schema. What steps take of it is asked with the hooks (family 3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from carrental_mlops.config import Section, load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.finding import Finding, Mend, Severity
from carrental_mlops.governance.mending import editing
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView
from carrental_mlops.governance.waivers import WAIVERS

BROKEN = Code(
    "CRM101", Severity.ERROR, "crm.yaml or an overlay does not hold",
    "No command works in an environment whose configuration cannot be read.",
    "Edit the line that is named; `crm config explain KEY` says what a key takes.",
    fixes="renames a key that differs from one of ours in case and hyphens alone (`serviceName`, `min-recall`).",
)  # fmt: skip
STRAY = Code(
    "CRM103", Severity.WARNING, "a file of config/ is never read",
    "Somebody edits it and nothing happens; often it is an overlay whose environment has another name.",
    "Name its environment in `environments` of crm.yaml, or delete it.",
)  # fmt: skip
SOURCES = "config/sources.yaml"
"""The catalogue of declared sources (family 4)."""
_READ = ("config/crm.yaml", WAIVERS, SOURCES)
_UNKNOWN = re.compile(r"unknown key `([\w.-]+)`$")
_PLACE = re.compile(r"^(config/[\w.-]+\.yaml)(?::(\d+))?: ")


def _find(view: RepoView) -> Iterator[Finding]:
    said: set[str] = set()
    environments: tuple[str | None, ...] = view.config.environments if view.config else (None,)
    for env in environments:
        section = None
        try:
            section = load(view.root, env)
            repo_config(section)
        except ConfigError as error:
            for line in error.what.splitlines():
                if line not in said:
                    said.add(line)
                    found = placed(BROKEN, line, error.fix)
                    yield replace(found, fix=_renaming(view, section, found)) if section else found
    yield from _strays(view)


def _renaming(view: RepoView, section: Section, found: Finding) -> Mend | None:
    """Writes an unknown key as ours is written; None where no key of ours is meant beyond doubt."""
    unknown = _UNKNOWN.match(found.what)
    if unknown is None or found.path is None or found.line is None:
        return None
    *above, last = unknown[1].split(".")
    ours = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).replace("-", "_").lower()
    lines = view.text(found.path).splitlines(keepends=True)
    key = re.compile(rf"(?<![\w.-]){re.escape(last)}(?=[\"']?\s*:)")
    inner = section
    for part in above:
        inner = inner[part]
    in_list = any(part.isdigit() for part in above)
    if ours == last or in_list or not isinstance(inner.value, dict) or ours in inner.value:
        return None
    if len(key.findall(lines[found.line - 1])) != 1 or not _is_key(section, (*above, ours)):
        return None
    at = found.line - 1

    def edit(now: str) -> str:
        held = now.splitlines(keepends=True)
        held[at] = key.sub(ours, held[at], count=1)
        return "".join(held)

    return editing(found.path, edit)


def _is_key(section: Section, path: tuple[str, ...]) -> bool:
    """Whether crm.yaml has a key of that name: one that is set there is not unknown."""
    value: object = None
    for part in reversed(path):
        value = {part: value}
    try:
        repo_config(replace(section, value=value))
    except ConfigError as error:
        return f"unknown key `{'.'.join(path)}`" not in error.what
    return True


def placed(code: Code, said: str, fix: str) -> Finding:
    """A finding of a message that begins with `config/<file>:<line>: `, or has no place."""
    place = _PLACE.match(said)
    if place is None:
        return code.found(said, fix, "config/crm.yaml")
    return code.found(said[place.end() :], fix, place[1], int(place[2]) if place[2] else None)


def _strays(view: RepoView) -> Iterator[Finding]:
    if view.config is None:
        return
    read = {*_READ, *(f"config/{env}.yaml" for env in view.config.environments[1:])}
    run_config = view.config.zenml.run_config
    for path in view.below("config"):
        if path.endswith((".yaml", ".yml")) and path not in read and path != run_config:
            names = ", ".join(view.config.environments[1:])
            yield STRAY.found(f"{path} is no overlay of an environment ({names})",
                              f"add its name to `environments` of crm.yaml, or: git rm {path}", path)  # fmt: skip


RULE = Rule("configuration", (BROKEN, STRAY), _find)
