"""Options that several commands share."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer


def day(text: str) -> date:
    """The day that an option names, as Typer's `parser`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-03-01") from None


def _instant(text: str) -> float:
    """Seconds since 1970-01-01 UTC of `2026-03-01T10:00`, or of `30m`, `6h`, `2d` ago."""
    ago = re.fullmatch(r"([0-9]+)([mhd])", text)
    if ago:
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        return (datetime.now(UTC) - timedelta(**{unit: int(ago[1])})).timestamp()
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-03-01T10:00 (UTC), or 30m, 6h, 2d ago") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


Repo = Annotated[Path | None, typer.Option("--repo", help="The model repo; default: the one around this folder.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Also texts of a package that CRM_TEMPLATE_PACKAGES does not name; never its code."),
]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Repeatable.")]
Env = Annotated[str | None, typer.Option("--env", help="An environment of crm.yaml; default: the first.")]
StoreOf = Annotated[str | None, typer.Option("--env", help="Whose store; default: the first environment's.")]
Source = Annotated[
    str | None,
    typer.Option("--from", help="Whose release: what was applied there last; default: the environment before --to."),
]
Target = Annotated[str | None, typer.Option("--to", "--env", help="Where it goes; default: the last environment.")]
Prometheus = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="Who is asked for figures; default: `watch.prometheus`."),
]
Since = Annotated[
    float | None, typer.Option("--since", parser=_instant, metavar="WHEN", help="From then: ISO 8601 (UTC) or 6h, 2d.")
]
Until = Annotated[
    float | None, typer.Option("--until", parser=_instant, metavar="WHEN", help="To then: ISO 8601 (UTC) or 6h, 2d.")
]
