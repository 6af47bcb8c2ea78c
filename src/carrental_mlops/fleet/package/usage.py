"""How many repos of a fleet override each hook, read from their sources; nothing of them is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.scaffold.ownership import RECORD, read_record
from carrental_mlops.scaffold.versions import Material, material
from carrental_mlops.upgrade.repo_overrides import RepoCode

_DEPTH = 4
"""Folders below the fleet's in which a repo may lie."""


@dataclass(frozen=True)
class Use:
    """One override."""

    repo: str
    """Relative to the fleet's folder."""
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


def repos_below(fleet: Path) -> list[Path]:
    """Every repo that `crm new` made in a folder or at most four folders below, sorted.

    Raises:
        ConfigError: there is no such folder, or it holds no such repo.
    """
    if not fleet.is_dir():
        raise ConfigError(f"{fleet} is not a folder", "name the folder that holds the clones of the repos")
    found = sorted(_walk(fleet, _DEPTH))
    if not found:
        raise ConfigError(f"{fleet} holds no repo that crm new made: no {RECORD}", "git clone them there")
    return found


def usage(fleet: Path, version: Callable[[str], Material] = material) -> Usage:
    """Count the overrides of every repo below a folder, each against the version that it stands on.

    Args:
        fleet: the folder.
        version: where a version's sources come from.

    Raises:
        ConfigError: there is no such folder, or it holds no repo of ours.
    """
    found: dict[str, list[Use]] = {}
    unread: list[str] = []
    repos = repos_below(fleet)
    for root in repos:
        name = root.relative_to(fleet).as_posix() if root != fleet else root.name
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
    names = tuple(r.relative_to(fleet).as_posix() if r != fleet else r.name for r in repos)
    return Usage({hook: tuple(uses) for hook, uses in counted}, names, tuple(unread))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RECORD).is_file():
        yield folder
    elif depth:
        with os.scandir(folder) as entries:
            inner = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
        for path in inner:
            yield from _walk(path, depth - 1)
