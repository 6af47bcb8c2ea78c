"""`crm serve`: the champion answers."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Repo, Sets

app = verb()


@app.command(epilog="Example: crm serve --set serving.port=9000")
def serve(
    version: Annotated[str | None, typer.Option(help="Of the registered model; default: the champion.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="A folder that was fetched before; the registry is not asked.")
    ] = None,
    env: Env = None,
    sets: Sets = None,
    here: Annotated[bool, typer.Option("--here", help="In this environment instead of the service's own.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command that would run.")] = False,
    repo: Repo = None,
) -> None:
    """Answer requests with a registered model, until Ctrl-C."""
    import sys

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration import service

    if bundle and version:
        raise typer.BadParameter("--bundle holds one version; leave --version out")
    pairs = tuple(sets or ())
    found = open_repo(repo, env, pairs)
    served = service.bundle_at(found, bundle) if bundle else service.make_bundle(found, version)
    if dry_run or here:
        python = Path(sys.executable)
    else:
        typer.echo("the service's own environment: .venvs/serving", err=True)
        python = service.environment(found.root)
    command = service.command(python, found, served, env, pairs)
    if dry_run:
        typer.echo(shlex.join(command))
        return
    typer.echo(f"{served.identity.name} version {served.identity.version}, digest {served.identity.digest}", err=True)
    os.execv(command[0], command)  # noqa: S606  the service gets this process, its signals and its exit code
