"""The figures of folders of repos, with the files that a person wrote beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from carrental_mlops import __version__
from carrental_mlops.errors import ConfigError
from carrental_mlops.kpi.behind import changelog, published
from carrental_mlops.kpi.costs import read_costs
from carrental_mlops.kpi.overview import Overview, Question, overview
from carrental_mlops.kpi.roadmap import Roadmap, read_roadmap
from carrental_mlops.kpi.service import read_all, repos_in


@dataclass(frozen=True)
class WantedFigures:
    """What is asked for, as a command line says it."""

    folders: tuple[Path, ...]
    """Model repos, or folders of them."""
    roadmap: Path | None = None
    start: date | None = None
    """First day of the roadmap, and of the target; None: as the roadmap says."""
    costs: Path | None = None
    at: date | None = None
    """The figures as they were at the end of that day, UTC; None: now."""
    latest: str | None = None
    """Version that repos should have; None: the installed one."""
    window_days: int = 90


def ask(wanted: WantedFigures, say: Callable[[str], None] = lambda text: None) -> Overview:
    """The figures that `wanted` asks for; `say` hears of each repo as it is read.

    Raises:
        ConfigError: no repo could be read, a file does not hold, or the day has not come.
    """
    now = datetime.now(UTC)
    if wanted.at is not None:
        if wanted.at > now.date():
            raise ConfigError(f"{wanted.at} has not come yet", f"--at {now.date()}, or leave it out")
        now = min(now, datetime.combine(wanted.at, time.max, UTC))
    asked = read_all(repos_in(wanted.folders), say)
    return overview(
        asked,
        Question(
            now=now,
            latest=wanted.latest or __version__,
            published=published(changelog()),
            roadmap=_roadmap(wanted),
            costs=read_costs(wanted.costs) if wanted.costs else None,
            window_days=wanted.window_days,
        ),
    )


def _roadmap(wanted: WantedFigures) -> Roadmap | None:
    if wanted.roadmap is not None:
        return read_roadmap(wanted.roadmap, wanted.start)
    return Roadmap(start=wanted.start) if wanted.start else None
