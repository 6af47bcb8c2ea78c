"""Family 1: crm.yaml, its overlays, the editors' schema. What steps take of it is asked with the hooks (family 3)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from carrental_mlops.config import load
from carrental_mlops.config.reader import repo_config
from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView
from carrental_mlops.governance.waivers import WAIVERS

BROKEN = Code(
    "CRM101", Severity.ERROR, "crm.yaml or an overlay does not hold",
    "No command works in an environment whose configuration cannot be read.",
    "Edit the line that is named; `crm config explain KEY` says what a key takes.",
)  # fmt: skip
STRAY = Code(
    "CRM103", Severity.WARNING, "a file of config/ is never read",
    "Somebody edits it and nothing happens; often it is an overlay whose environment has another name.",
    "Name its environment in `environments` of crm.yaml, or delete it.",
)  # fmt: skip
SOURCES = "config/sources.yaml"
"""The catalogue of declared sources (family 4)."""
_READ = ("config/crm.yaml", WAIVERS, SOURCES)
_PLACE = re.compile(r"^(config/[\w.-]+\.yaml)(?::(\d+))?: ")


def _find(view: RepoView) -> Iterator[Finding]:
    said: set[str] = set()
    environments: tuple[str | None, ...] = view.config.environments if view.config else (None,)
    for env in environments:
        try:
            repo_config(load(view.root, env))
        except ConfigError as error:
            for line in error.what.splitlines():
                if line not in said:
                    said.add(line)
                    yield placed(BROKEN, line, error.fix)
    yield from _strays(view)


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
