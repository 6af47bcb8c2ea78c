"""How far repos are behind the newest version of the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from statistics import median

from packaging.version import Version

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.delivery import Share, share
from carrental_mlops.kpi.events import days_between
from carrental_mlops.kpi.service import Service
from carrental_mlops.upgrade.changelog import released, version_key, version_of


class Behind(Frozen):
    """Where one repo stands."""

    service: str
    version: str
    minors: int | None
    """Minor versions behind; None where the major version differs."""
    within_one: bool
    """The same major version, at most one minor behind."""
    lag_days: float | None
    """Since the first version that it lacks was published; 0 where it lacks none, None where no day is known."""


class Upgrades(Frozen):
    """Where all repos stand."""

    latest: str
    repos: tuple[Behind, ...]
    within_one: Share
    taken_days: float | None
    """Median days from a version's day to the commit of a repo that took it; None where no day is known."""


def changelog() -> str:
    """That of the installed package, in its wheel or its checkout; empty where it carries none."""
    package = Path(__file__).resolve().parents[1]
    found = (path for path in (package / "_assets" / "CHANGELOG.md", package.parents[1] / "CHANGELOG.md"))
    return next((path.read_text(encoding="utf-8") for path in found if path.is_file()), "")


def published(changelog: str) -> dict[str, datetime]:
    """Versions with the day in their heading, as UTC midnight; those without a day are left out."""
    return {v: datetime.combine(day, time.min, UTC) for v, day in released(changelog).items() if day}


def upgrades(services: Sequence[Service], latest: str, days: Mapping[str, datetime], now: datetime) -> Upgrades:
    """Where `services` stand against `latest`.

    Args:
        services: those that no template made are left out.
        latest: version that they should have.
        days: version to the day on which it was published, UTC.
        now: UTC.

    Raises:
        ConfigError: `latest` is no version.
    """
    newest = version_of(latest)
    if newest is None:
        raise ConfigError(f"`{latest}` is no version", "write it as 1.4.0")
    repos = tuple(_behind(one.name, one.version, newest, days, now) for one in services if one.version)
    return Upgrades(
        latest=latest,
        repos=repos,
        within_one=share(sum(one.within_one for one in repos), len(repos)),
        taken_days=_taken(services, days),
    )


def _behind(service: str, version: str, newest: Version, days: Mapping[str, datetime], now: datetime) -> Behind:
    told = version_of(version)
    own = version_key(version)
    minors = max(newest.minor - own.minor, 0) if told and own.major == newest.major else None
    lacked = [day for name, day in days.items() if own < version_key(name) <= newest and day <= now]
    lag = 0.0 if own >= newest else max((days_between(day, now) for day in lacked), default=None)
    return Behind(service=service, version=version, minors=minors, within_one=minors in (0, 1), lag_days=lag)


def _taken(services: Iterable[Service], days: Mapping[str, datetime]) -> float | None:
    took = [
        max(days_between(days[one.version], one.at), 0.0)
        for service in services
        for one in service.versions[1:]
        if one.version in days
    ]
    return median(took) if took else None
