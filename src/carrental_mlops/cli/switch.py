"""`crm switch`: the kill switch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo

if TYPE_CHECKING:
    from carrental_mlops.deploy.observe.prometheus import Prometheus
    from carrental_mlops.serving.switch import Order

app = verb()
_CONFIRM_S = 60.0
"""How long the pods are waited for: Prometheus looks every 15 s or so."""


def _to_come(text: str) -> datetime:
    """UTC of `2026-03-01T10:00`, or `30m`, `2h`, `1d` from now."""
    ahead = re.fullmatch(r"([0-9]+)([mhd])", text)
    if ahead:
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ahead[2]]
        return datetime.now(UTC).replace(microsecond=0) + timedelta(**{unit: int(ahead[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-03-01T10:00 (UTC), or 30m, 2h, 1d from now") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


@app.command(epilog='Example: crm switch fraud-payments --env prod --to rules --reason "scores drift" --until 2h')
def switch(
    service: Annotated[str, typer.Argument(help="Its name, so that nobody switches the wrong one.")],
    to: Annotated[
        Literal["rules", "previous", "constant"] | None, typer.Option(help="What answers; without: say what does now.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the journal.")] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=_to_come, metavar="WHEN", help="Its end, by itself: ISO 8601 (UTC) or 2h.")
    ] = None,
    decision: Annotated[str, typer.Option(help="Of every row (constant), or where no rule blocks (rules).")] = "accept",
    off: Annotated[bool, typer.Option("--off", help="The model answers again, before the end.")] = False,
    env: Env = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written.")] = False,
    repo: Repo = None,
) -> None:
    """Have rules, the model before or one decision answer instead of the model, in seconds, with no deploy.

    Exit code 3: it is ordered, but after a minute not every pod has switched.
    """
    import os

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.releases.identity import person
    from carrental_mlops.deploy.rollout.switch import Switching
    from carrental_mlops.errors import ConfigError
    from carrental_mlops.serving.switch import Order

    found = open_repo(repo, env)
    if service != found.config.service:
        what = f"this is the repo of {found.config.service}, not of {service}"
        raise ConfigError(what, f"crm switch {found.config.service}, or cd into the other repo")
    if (to and off) or ((to or off) and not reason) or (to and until is None):
        raise typer.BadParameter("either --to with --reason and --until, or --off with --reason")
    switching, by = Switching.of(found, env), person(found.root, os.environ)
    order = Order(to, until, by, reason or "", decision) if to and until else None
    if dry_run:
        _would(switching.now(), order, off, as_json)
        return
    if to or off:
        entry = switching.on(order) if order else switching.off(by, reason or "")
        typer.echo(entry.said if entry else "it is so already", err=True)
        if switching.prometheus and (entry or to):
            _confirm(switching.prometheus, {"model": service, "namespace": found.config.deploy.namespace}, to, env)
    _show(switching.now(), as_json)


def _confirm(prometheus: Prometheus, labels: dict[str, str], to: str | None, env: str | None) -> None:
    from carrental_mlops.deploy.rollout.switch import confirmed
    from carrental_mlops.errors import PlatformError

    if confirmed(prometheus, labels, to, _CONFIRM_S, lambda text: typer.echo(text, err=True)) is False:
        what = f"it is ordered, but not every pod has switched after {_CONFIRM_S:.0f} s"
        raise PlatformError(what, f"crm status --env {env}, then the same command again", retryable=True)


def _would(now: Order | None, order: Order | None, off: bool, as_json: bool) -> None:
    """What would be written; without an order, what answers and would go on."""
    if order:
        typer.echo(order.text())
    elif off and not as_json:
        typer.echo("would switch back: the model answers" if now else "it is so already: the model answers")
    else:
        _show(None if off else now, as_json)


def _show(order: Order | None, as_json: bool) -> None:
    import json

    from carrental_mlops.cli.terminal import show_json

    if as_json:
        show_json(json.loads(order.text()) if order else {"to": None})
    elif order:
        typer.echo(f"{order.to} answers until {order.until:%Y-%m-%d %H:%M} UTC, by {order.by}: {order.reason}")
    else:
        typer.echo("the model answers")
