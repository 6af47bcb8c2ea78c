"""The fleet as one HTML page that asks no network, for a manager and an engineer alike."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from carrental_mlops.files import whole_file
from carrental_mlops.fleet.standing import Standing
from carrental_mlops.upgrade.changelog import version_key

_TEMPLATE = "page.html.jinja"
_SOON_DAYS = 30
"""A waiver that ends within these days is shown as ending soon."""


def write_page(path: Path, fleet: Sequence[Standing], source: str, now: datetime.datetime) -> None:
    """Write the page.

    Args:
        path: of the file.
        fleet: where each service stands.
        source: where the inventory came from.
        now: UTC.

    Raises:
        PlatformError: the file cannot be written.
    """
    text = page(fleet, source, now)
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def page(fleet: Sequence[Standing], source: str, now: datetime.datetime) -> str:
    """The page's text; every value in it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    today = now.date()
    soon = (today + datetime.timedelta(days=_SOON_DAYS)).isoformat()
    return environment.get_template(_TEMPLATE).render(
        fleet=sorted(fleet, key=lambda s: (s.tier or 9, s.name)), source=source, at=now, soon=soon,
        figures=figures(fleet, soon), versions=_versions(fleet), order=_order(fleet),
    )  # fmt: skip


def figures(fleet: Sequence[Standing], soon: str) -> dict[str, Any]:
    """What a manager reads first; a share is None where nobody says anything."""
    aged = [one for one in fleet if one.behind_days is not None]
    scored = sorted(one.score for one in fleet if one.score is not None)
    proven = [one for one in fleet if one.slo != "unknown"]
    return {
        "services": len(fleet),
        "current": sum(one.behind_days == 0 for one in aged),
        "aged": len(aged),
        "oldest": max((one.behind_days or 0 for one in aged), default=None),
        "median_score": scored[len(scored) // 2] if scored else None,
        "blocked": sum(bool(one.blocking) for one in fleet),
        "scored": len(scored),
        "held": sum(one.slo == "held" for one in fleet),
        "proven": len(proven),
        "overrides": sum(len(one.overrides) for one in fleet),
        "ledger": sum(len(one.ledger_open) for one in fleet),
        "ending": sum(waiver.until <= soon for one in fleet for waiver in one.waivers),
        "waivers": sum(len(one.waivers) for one in fleet),
    }


def _versions(fleet: Sequence[Standing]) -> list[tuple[str, int]]:
    counted = Counter(one.template_version or "unknown" for one in fleet)
    return sorted(counted.items(), key=lambda item: version_key(item[0]), reverse=True)


def _order(fleet: Sequence[Standing]) -> Callable[[str | None], str]:
    """Version to its place among those of the fleet; empty where it is not known."""
    told = sorted({one.template_version for one in fleet if one.template_version}, key=version_key)
    places: dict[str | None, str] = {version: str(place) for place, version in enumerate(told)}
    return lambda version: places.get(version, "")
