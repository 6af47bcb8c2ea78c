"""How many repos of a fleet override each hook, read from their sources; nothing of them is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import CrmError
from carrental_mlops.scaffold.ownership import read_record
from carrental_mlops.scaffold.versions import Material, material
from carrental_mlops.upgrade.repo_overrides import RepoCode


@dataclass(frozen=True)
class Use:
    """One override."""

    repo: str
    """Its name in the fleet."""
    version: str
    """That the repo stands on."""
    place: str
    """`src/pay/steps.py:21`."""


@dataclass(frozen=True)
class Usage:
    """Who overrides what."""

    hooks: dict[str, tuple[Use, ...]]
    """`TrainStep.sample_weight` to its overrides, the most overridden first."""
    repos: tuple[str, ...]
    """All that were read."""
    unread: tuple[str, ...]
    """What could not be read, a sentence each: their overrides are not counted."""

    def repos_of(self, hook: str) -> tuple[str, ...]:
        """The repos that override a hook, sorted."""
        return tuple(sorted({use.repo for use in self.hooks.get(hook, ())}))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = [
            {"hook": hook, "repos": len(self.repos_of(hook)), "overrides": [vars(use) for use in uses]}
            for hook, uses in self.hooks.items()
        ]
        return {"repos": list(self.repos), "hooks": told, "unread": list(self.unread)}


def usage(repos: Mapping[str, Path], version: Callable[[str], Material] = material) -> Usage:
    """Count the overrides of every repo of a fleet, each against the version that it stands on.

    Args:
        repos: each repo's folder by its name.
        version: where a version's sources come from.
    """
    found: dict[str, list[Use]] = {}
    unread: list[str] = []
    for name, root in repos.items():
        try:
            stands = read_record(root).version
            code = RepoCode(root, version(stands))
            for override in code.overrides:
                key = f"{override.hook.owner}.{override.hook.name}"
                found.setdefault(key, []).append(Use(name, stands, override.place))
            unread += [f"{name}: src/{b.shown}:{b.line}: {b.why}" for b in code.code.unreadable.values()]
        except CrmError as error:
            unread.append(f"{name}: {error.what}")
    counted = sorted(found.items(), key=lambda item: (-len({use.repo for use in item[1]}), item[0]))
    return Usage({hook: tuple(uses) for hook, uses in counted}, tuple(repos), tuple(unread))
