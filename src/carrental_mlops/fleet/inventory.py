"""Which repos make the fleet: a folder of them, a file that names them, or a group of a code host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError, nearest, shown_url
from carrental_mlops.fleet.hosting import Host, Kind, Project, host_of
from carrental_mlops.scaffold.ownership import RECORD
from carrental_mlops.scaffold.repos import repos_below


class HostEntry(Frozen):
    """A code host, and the group whose repos belong to the fleet."""

    kind: Kind
    url: str | None = None
    """Of a host of your own; default: gitlab.com, or GitHub's API."""
    group: str | None = None
    """Every repo of it that `crm new` made belongs to the fleet; unset: those under `services` alone."""
    topic: str | None = None
    """Only those of the group that bear this topic."""

    @field_validator("url")
    @classmethod
    def _hold_no_secret(cls, url: str | None) -> str | None:
        if url and shown_url(url) != url:
            raise ValueError("a token does not belong in this file; it stands in the environment")
        return url


class ServiceEntry(Frozen):
    """One repo: `path` or `project`."""

    path: Path | None = None
    """A folder, relative to this file; an upgrade commits on a branch there."""
    project: str | None = None
    """`group/name` on the host; an upgrade opens a merge request there."""

    @model_validator(mode="after")
    def _hold_one(self) -> ServiceEntry:
        if (self.path is None) == (self.project is None):
            raise ValueError("an entry has `path` or `project`, one of them")
        return self


class FleetFile(Frozen):
    """What a fleet file holds."""

    host: HostEntry | None = None
    services: tuple[ServiceEntry, ...] = ()
    canary: tuple[str, ...] = Field(default=())
    """Names, with `*` and `?`, of the repos that a campaign takes first."""

    @model_validator(mode="after")
    def _hold_host(self) -> FleetFile:
        if self.host is None and any(one.project for one in self.services):
            raise ValueError("`project` needs `host`")
        if not self.services and not (self.host and self.host.group):
            raise ValueError("it names no repo: `services`, or `group` of `host`")
        return self


@dataclass(frozen=True)
class Member:
    """One repo of the fleet."""

    name: str
    """Its folder's name, or `group/name`; unique in the fleet."""
    folder: Path | None = None
    """On this machine; None where it is the host's."""
    project: Project | None = None
    canary: bool = False

    @property
    def shown(self) -> str:
        """Where it is, for a reader."""
        return self.project.web_url if self.project else str(self.folder)


@dataclass(frozen=True)
class Fleet:
    """The repos, and the host of those that have one."""

    members: tuple[Member, ...]
    host: Host | None = None
    source: str = ""

    def only(self, patterns: Sequence[str]) -> Fleet:
        """Those whose name, or the last part of it, fits any of `patterns`; none given: all.

        Raises:
            ConfigError: a pattern fits none.
        """
        for pattern in patterns:
            if not any(_fits(one.name, [pattern]) for one in self.members):
                raise ConfigError(f"no repo of the fleet is called {pattern}", nearest(pattern, self._names()))
        kept = tuple(one for one in self.members if not patterns or _fits(one.name, patterns))
        return Fleet(kept, self.host, self.source)

    def _names(self) -> list[str]:
        return [one.name.rpartition("/")[2] for one in self.members]


def read_fleet(
    source: str, url: str | None = None, topic: str | None = None, canary: Sequence[str] = (),
    open_host: Callable[[Kind, str | None], Host] = host_of,
) -> Fleet:  # fmt: skip
    """The fleet that `source` names.

    Args:
        source: a folder, a fleet file (YAML), `gitlab:GROUP` or `github:ORGANISATION`.
        url: of a host of your own, for the last two.
        topic: only repos that bear it, for the last two.
        canary: patterns of names, beside those of the file.
        open_host: makes the host; default: by its API, with the token of the environment.

    Raises:
        ConfigError: there is no such place, it holds no repo, or the file is not what it must be.
        PlatformError: the host does not answer.
    """
    kind, colon, group = source.partition(":")
    if colon and kind in ("gitlab", "github"):
        made = _checked({"host": {"kind": kind, "url": url, "group": group, "topic": topic}}, source)
        return _of_file(made, Path(), source, canary, open_host)
    place = Path(source)
    if place.is_file():
        return _of_file(_checked(_yaml(place), str(place)), place.parent, str(place), canary, open_host)
    if not place.is_dir():
        raise ConfigError(
            f"{source} is no folder and no file", "--fleet FOLDER, fleet.yaml, gitlab:GROUP or github:ORG"
        )
    found = [(path.relative_to(place).as_posix(), path) for path in repos_below(place)]
    if not found:
        raise ConfigError(f"no repo that crm new made in {source}: no {RECORD}", "--fleet FOLDER that holds them")
    return Fleet(tuple(Member(name if name != "." else path.resolve().name, path.resolve(), None, _fits(name, canary))
                       for name, path in found), None, source)  # fmt: skip


def _of_file(
    given: FleetFile, base: Path, source: str, canary: Sequence[str], open_host: Callable[[Kind, str | None], Host]
) -> Fleet:
    first = (*given.canary, *canary)
    host = open_host(given.host.kind, given.host.url) if given.host else None
    members = []
    for entry in given.services:
        if entry.path is not None:
            folder = (base / entry.path).resolve()
            if not (folder / RECORD).is_file():
                raise ConfigError(f"{source}: {entry.path} has no {RECORD}", "name the folder of a repo that crm made")
            members.append(Member(folder.name, folder, None, _fits(folder.name, first)))
        elif host is not None and entry.project is not None:
            found = host.project(entry.project)
            members.append(Member(found.path, None, found, _fits(found.path, first)))
    if host is not None and given.host is not None and given.host.group:
        named = {one.name for one in members}
        for found in host.projects(given.host.group, given.host.topic):
            if found.path not in named:
                members.append(Member(found.path, None, found, _fits(found.path, first)))
    twice = sorted({one.name for one in members if sum(other.name == one.name for other in members) > 1})
    if twice:
        raise ConfigError(f"{source}: named twice: {', '.join(twice)}", "keep one entry of each name")
    if not members:
        raise ConfigError(f"{source}: no repo that crm new made", "name another group, or drop the topic")
    return Fleet(tuple(members), host, source)


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        at = f"{path}:{line}" if line else str(path)
        raise ConfigError(f"{at}: not YAML: {getattr(error, 'problem', None) or error}", "mend it there") from error


def _checked(given: Any, name: str) -> FleetFile:
    try:
        return FleetFile.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        what = "unknown key" if first["type"] == "extra_forbidden" else str(first["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"{name}: {at}{': ' if at else ''}{what}", "it has `host`, `services`, `canary`; "
                          "see docs/how-to/fleet.md") from error  # fmt: skip


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(part, pattern) for pattern in patterns for part in (name, name.rpartition("/")[2]))
