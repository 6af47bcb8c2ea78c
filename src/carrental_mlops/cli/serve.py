"""`crm serve`: the champion answers."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb

app = verb()


@app.command(epilog="Example: crm serve --set serving.port=9000")
def serve(
    version: Annotated[str | None, typer.Option(help="Of the registered model; default: the champion.")] = None,
    env: Annotated[str | None, typer.Option(help="An environment of crm.yaml; default: the first.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Repeatable.")] = None,
    here: Annotated[bool, typer.Option("--here", help="In this environment instead of the service's own.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command that would run.")] = False,
    repo: Annotated[Path | None, typer.Option(help="The model repo; default: the one around this folder.")] = None,
) -> None:
    """Answer requests with a registered model, until Ctrl-C."""
    import sys

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration import service

    pairs = tuple(sets or ())
    found = open_repo(repo, env, pairs)
    bundle = service.make_bundle(found, version)
    if dry_run or here:
        python = Path(sys.executable)
    else:
        typer.echo("serving environment: .venvs/serving", err=True)
        python = service.environment(found.root)
    command = service.command(python, found, bundle, env, pairs)
    if dry_run:
        typer.echo(shlex.join(command))
        return
    where = f"http://{found.config.serving.host}:{found.config.serving.port}"
    typer.echo(f"{bundle.identity.name} version {bundle.identity.version} on {where}", err=True)
    os.execv(command[0], command)  # noqa: S606  the service gets this process, its signals and its exit code
