"""How far repos are behind the newest version of the package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

from carrental_mlops.config.frozen import Frozen
from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.delivery import Share, share
from carrental_mlops.kpi.events import days_between
from carrental_mlops.kpi.service import Service

_HEADING = re.compile(r"^## \[?(\d+\.\d+\.\d+)\]?\s*[-(]\s*(\d{4}-\d{2}-\d{2})", re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


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
    """Versions with the day in their heading, `## 1.2.0 (2026-12-01)` or `## [1.2.0] - 2026-12-01`, as UTC midnight."""
    found = {}
    for version, day in _HEADING.findall(changelog):
        told = date.fromisoformat(day)
        found[version] = datetime(told.year, told.month, told.day, tzinfo=UTC)
    return found


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
    newest = _parts(latest)
    if newest is None:
        raise ConfigError(f"`{latest}` is no version", "write it as 1.4.0")
    repos = tuple(_behind(one.name, one.version, newest, days, now) for one in services if one.version)
    return Upgrades(
        latest=latest,
        repos=repos,
        within_one=share(sum(one.within_one for one in repos), len(repos)),
        taken_days=_taken(services, days),
    )


def _behind(
    service: str, version: str, newest: tuple[int, int, int], days: Mapping[str, datetime], now: datetime
) -> Behind:
    own = _parts(version) or (-1, 0, 0)
    minors = max(newest[1] - own[1], 0) if own[0] == newest[0] else None
    lacked = [day for name, day in days.items() if own < (_parts(name) or own) <= newest and day <= now]
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


def _parts(version: str) -> tuple[int, int, int] | None:
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
