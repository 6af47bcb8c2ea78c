"""One model repo in figures' terms: what it is, its features with their stages, its deployments, its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from carrental_mlops.config import load, repo_config
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.release import Instant
from carrental_mlops.errors import ConfigError, CrmError
from carrental_mlops.kpi.deployments import deployments
from carrental_mlops.kpi.events import Deployment, Idea
from carrental_mlops.kpi.features import Feature, FeatureEvidence, first_feature, further_feature
from carrental_mlops.kpi.history import History
from carrental_mlops.kpi.ideas import ideas
from carrental_mlops.kpi.trainings import trainings
from carrental_mlops.scaffold.ownership import RECORD, read_record
from carrental_mlops.scaffold.repos import repos_below

_Item = TypeVar("_Item")


class Taken(Frozen):
    """A version of the package that a repo stood on."""

    version: str
    at: Instant
    """When the default branch had it first, UTC."""


class Service(Frozen):
    """One model repo, read once."""

    name: str
    team: str
    """`owner` of crm.yaml."""
    tier: int
    template: str
    """`unknown` where no template made it."""
    version: str | None
    """Of the package's template that it stands on; None where no template made it."""
    features: tuple[Feature, ...]
    deployments: tuple[Deployment, ...]
    """Of the last environment, oldest first."""
    versions: tuple[Taken, ...]
    """Oldest first."""
    unread: tuple[str, ...] = ()
    """What could not be read, so that its figures are missing."""


@dataclass(frozen=True)
class ReadServices:
    """Model repos that were read, and those that could not be."""

    services: tuple[Service, ...]
    broken: dict[str, str]
    """Folder name to what is wrong."""


def repos_in(folders: Iterable[Path]) -> list[Path]:
    """Model repos at `folders`, or one or two levels below where a folder is none itself; in order, each once.

    Raises:
        ConfigError: a folder is none and holds none.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        here = folder.resolve()
        below = dict.fromkeys(repos_below(here, "config/crm.yaml", deepest=2, links=True))
        if not below:
            raise ConfigError(f"{folder} is no model repo and holds none", "name a repo, or a folder of repos")
        found |= below
    return list(found)


def read_all(roots: Sequence[Path], say: Callable[[str], None] = lambda text: None) -> ReadServices:
    """Every repo of `roots`; one whose configuration does not hold, or whose service has another repo, is named.

    Args:
        roots: of model repos.
        say: hears each repo's name before it is read, where there are several.

    Raises:
        CrmError: what is wrong with the first, where none could be read.
    """
    services, broken, errors = dict[str, Service](), dict[str, str](), list[CrmError]()
    for root in roots:
        alone = [one.name for one in roots].count(root.name) == 1
        name = root.name if alone else f"{root.parent.name}/{root.name}"
        if len(roots) > 1:
            say(f"  {name} …")
        try:
            found = read_service(root)
            if found.name in services:
                raise ConfigError(f"another repo is the service `{found.name}` too", "name one of the two folders")
            services[found.name] = found
        except CrmError as error:
            errors.append(error)
            broken[name] = error.what.replace(f"{root}/", "")
    if errors and not services:
        raise errors[0]
    return ReadServices(tuple(services.values()), broken)


def read_service(root: Path) -> Service:
    """The repo at `root`; a store that does not answer, or a history that is cut, is told in `unread`.

    Raises:
        ConfigError: crm.yaml, `.crm.json` or ideas.yaml does not hold.
    """
    config, noted, unread = repo_config(load(root)), ideas(root), _Unread(root)
    by_env = {env: repo_config(load(root, env)) for env in config.environments}
    record = read_record(root) if (root / RECORD).is_file() else None
    trained = unread.tried("trainings", lambda: trainings(root, by_env.values()))
    live = {env: unread.tried(f"releases of {env}", partial(deployments, root, by_env[env], env)) for env in
            config.environments[1:]}  # fmt: skip
    last = live.pop(config.environments[-1], ())
    found = FeatureEvidence(History(root), trained, tuple(one for of in live.values() for one in of), last)
    return Service(
        name=config.service,
        team=config.owner,
        tier=config.tier,
        template=record.template if record else "unknown",
        version=record.version if record else None,
        features=unread.tried("features", lambda: _features(config.service, found, noted)),
        deployments=last,
        versions=unread.tried("versions", lambda: _versions(found.history)),
        unread=tuple(unread.said),
    )


@dataclass
class _Unread:
    root: Path
    said: list[str] = field(default_factory=list)

    def tried(self, what: str, read: Callable[[], tuple[_Item, ...]]) -> tuple[_Item, ...]:
        try:
            return read()
        except CrmError as error:
            self.said.append(f"{what}: {error.what}".replace(f"{self.root}/", "").replace(str(self.root), "the repo"))
            return ()


def _features(service: str, found: FeatureEvidence, noted: tuple[Idea, ...]) -> tuple[Feature, ...]:
    if found.history.shallow:
        raise ConfigError("the clone is shallow, so first days are unknown", "git fetch --unshallow")
    own = next((one for one in noted if one.feature == service), None)
    first = first_feature(service, found, own)
    return (*([first] if first else []), *(further_feature(service, found, one) for one in noted if one is not own))


def _versions(history: History) -> tuple[Taken, ...]:
    return tuple(Taken(version=version, at=at) for version, at in history.versions())
