"""`crm diagnose`: one page for three in the morning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Prometheus, Repo, Since

if TYPE_CHECKING:
    from carrental_mlops.deploy.observe.diagnose import Page

app = verb()


@app.command(epilog="Example: crm diagnose fraud-payments --env prod --since 1h")
def diagnose(
    service: Annotated[str, typer.Argument(help="Its name, so that nobody reads the wrong page.")],
    since: Since = None,
    prometheus: Prometheus = None,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What changed since the service was well (default: 1h ago), suspects by evidence, and the next command.

    Exit code 3: something could not be looked at, so that the page may lack the cause.
    """
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.observe.diagnose_inputs import page_of
    from carrental_mlops.errors import ConfigError, ExitCode

    found = open_repo(repo, env)
    if service != found.config.service:
        what = f"this is the repo of {found.config.service}, not of {service}"
        raise ConfigError(what, f"crm diagnose {found.config.service}, or cd into the other repo")
    page = page_of(found, env, since or time.time() - 3600, prometheus)
    if as_json:
        show_json(asdict(page))
    else:
        _show(page, service)
    if page.unknown:
        raise typer.Exit(ExitCode.PLATFORM)


def _show(page: Page, service: str) -> None:
    from carrental_mlops.cli.terminal import colour

    typer.echo(colour(f"{service}, {page.since:%Y-%m-%d %H:%M} to {page.at:%H:%M} UTC", "bold"))
    for text in page.unknown:
        typer.echo(colour(f"cannot say: {text}", "red"))
    typer.echo("\nSuspects")
    for n, one in enumerate(page.suspects[:6], 1):
        typer.echo(f"{n}. {colour(one.what, 'red' if n == 1 else 'yellow')}\n   {one.evidence}\n   {one.command}")
    if not page.suspects:
        known = "none found, and not everything could be looked at" if page.unknown else ""
        typer.echo(known or "none: nothing that is measured has changed")
    typer.echo("\nChanged since then")
    for change in page.changes[:10]:
        typer.echo(f"{change.at:%H:%M:%S}  {change.what}{f' ({change.by})' if change.by else ''}")
    if not page.changes:
        typer.echo("nothing that is recorded")
    typer.echo("\nThen and now")
    for figure in page.figures:
        typer.echo(figure.said())
    if page.suspects:
        typer.echo(f"\nNext: {page.suspects[0].command}")
