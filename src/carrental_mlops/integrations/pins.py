"""Installed packages as a locked requirements list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata


def pinned(roots: Iterable[str]) -> tuple[str, ...]:
    """`name==version` of the installed `roots` and of all that they need, sorted; what is not installed is left out.

    Args:
        roots: distribution names, such as `lightgbm`.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [(name, frozenset[str]()) for name in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = installed.version
        for line in installed.requires or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras | {""}):
                waiting.append((need.name, frozenset(need.extras)))
    return tuple(f"{name}=={version}" for name, version in sorted(found.items()))


def distribution_of(module: str) -> str:
    """The distribution that the import package of `module` came from; its own name where no metadata says.

    Args:
        module: dotted, such as `xgboost.sklearn`.
    """
    package = module.partition(".")[0]
    return next(iter(metadata.packages_distributions().get(package, ())), package)
