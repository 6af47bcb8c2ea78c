"""Where releases are kept: a folder of the repo or an S3 prefix; written once, whole, under a number of their own.

<env>/<number>.json              the release with its configuration, values and manifests
<env>/<number>/<time>-<n>.json   what became of it, one event a file
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from carrental_mlops.config import RepoConfig
from carrental_mlops.config.frozen import Frozen
from carrental_mlops.deploy.releases.objects import ObjectStore
from carrental_mlops.deploy.releases.release import Event, Release, State, Stored
from carrental_mlops.errors import ConfigError, DataError
from carrental_mlops.integrations.mlflow_registry import Registry

_Document = TypeVar("_Document", bound=Frozen)


class ReleaseStore:
    """The releases of one service, by environment.

    Args:
        root: of the model repo.
        place: `deploy.releases` of crm.yaml.

    Every method raises PlatformError when the place cannot be read or written, DataError for a file that is none.
    """

    def __init__(self, root: Path, place: str) -> None:
        self.shown = place
        self._place = ObjectStore(root, place)

    def add(self, env: str, make: Callable[[str], Stored]) -> Stored:
        """What `make` made of the next free id, now stored; never over another: two writers get two numbers.

        Args:
            env: of the release.
            make: the release of the id that it is given; called again where another writer was faster.
        """
        number = max(self._numbers(env), default=0)
        while True:
            number += 1
            made = make(f"{env}-{number}")
            if self._place.create(f"{env}/{number}.json", _text(made)):
                return made

    def next_id(self, env: str) -> str:
        """The id that the next release of `env` gets if nobody else is faster."""
        return f"{env}-{max(self._numbers(env), default=0) + 1}"

    def newest(self, env: str) -> Stored | None:
        """The newest release of `env`, whatever became of it."""
        return next(iter(self.releases(env, 1)), None)

    def state(self, name: str) -> State | None:
        """What became of the release of the id `name` last; None: nothing was begun."""
        told = self.events(name)
        return told[-1].state if told else None

    def get(self, name: str) -> Stored:
        """The release of the id `name`, such as `prod-7`.

        Raises:
            ConfigError: there is none; names the latest.
        """
        env, _, number = name.rpartition("-")
        raw = self._place.read(f"{env}/{number}.json") if env and number.isdigit() else None
        if raw is None:
            known = ", ".join(f"{env}-{n}" for n in self._numbers(env)[:5]) if env else ""
            raise ConfigError(f"no release `{name}` in {self.shown}", f"the latest: {known}" if known
                              else "crm release list --env ENV")  # fmt: skip
        return self._parsed(Stored, raw, f"{env}/{number}.json")

    def releases(self, env: str, limit: int | None = None) -> list[Stored]:
        """Newest first."""
        return [self.get(f"{env}-{number}") for number in self._numbers(env)[:limit]]

    def record(self, event: Event) -> None:
        """Keep `event` beside its release."""
        env, _, number = event.release.rpartition("-")
        stamp, n = f"{event.at:%Y%m%dT%H%M%S.%fZ}", 0
        while not self._place.create(f"{env}/{number}/{stamp}-{n}.json", _text(event)):
            n += 1

    def events(self, name: str) -> list[Event]:
        """What became of the release of the id `name`, oldest first."""
        folder = "/".join(name.rsplit("-", 1))
        found = sorted(self._place.names(folder))
        return [self._parsed(Event, self._place.read(f"{folder}/{one}") or b"", f"{folder}/{one}") for one in found]

    def last(self, env: str) -> Stored | None:
        """The newest release that was available, or applied where nobody waited for it."""
        names = (f"{env}-{number}" for number in self._numbers(env))
        return next((self.get(name) for name in names if self.state(name) in ("available", "applied")), None)

    def _numbers(self, env: str) -> list[int]:
        names = (name.removesuffix(".json") for name in self._place.names(env) if name.endswith(".json"))
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def _parsed(self, kind: type[_Document], raw: bytes, name: str) -> _Document:
        try:
            return kind.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            at, what = ".".join(map(str, first["loc"])), "a release" if kind is Stored else "an event of a release"
            raise DataError(
                f"{self.shown}{name} is not {what}: {at}: {first['msg']}",
                "restore the file from git or the bucket's versions; a release is never edited",
            ) from error


def standing_in(root: Path, config: RepoConfig, env: str) -> Stored:
    """The release that stands in `env`: what was available there last, or applied where nobody waited for it.

    Args:
        root: the model repo.
        config: as `env` sees it: its own `deploy.releases` is asked.
        env: environment.

    Raises:
        ConfigError: there is none.
        PlatformError: the place of releases cannot be read.
    """
    stored = ReleaseStore(root, config.deploy.releases).last(env)
    if stored is None:
        raise ConfigError(f"{env} has no release that was applied", f"crm deploy --env {env} --wait")
    return stored


def tag_model(registry: Registry, release: Release) -> None:
    """Write `release` as the tag `crm.release.<id>` of its model's version.

    Raises:
        PlatformError: the registry cannot be reached; retryable.
        ConfigError: it has no such version.
    """
    registry.tag(release.model.version, f"crm.release.{release.id}", release.model_dump_json(exclude_defaults=True))


def _text(document: Frozen) -> bytes:
    return (document.model_dump_json(indent=1) + "\n").encode()
