"""`crm rollback`: back to an earlier release."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.deploy import Timeout, Wait, say, show
from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo

app = verb()


@app.command(epilog="Example: crm rollback --env prod")
def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="Id of a release; default: the champion where a canary runs, else the one before."),
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 600,
    env: Env = None,
    as_json: Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the cluster what would change; write nothing.")
    ] = False,
    repo: Repo = None,
) -> None:
    """Model and configuration of an earlier release, now; the registry may be down."""
    import os

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.deployment import rollback as back
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.releases.identity import person

    site = Site.of(open_repo(repo, env), env)
    show(back(site, person(site.repo.root, os.environ), say, to, timeout if wait else None, dry_run), as_json)
