"""`crm status`: what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo

if TYPE_CHECKING:
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.cluster.status import ClusterStanding

app = verb()


@app.command(epilog="Example: crm status --env prod")
def status(env: Env = None, as_json: Json = False, repo: Repo = None) -> None:
    """What runs, whether it is available, its pods, and whether the newest release is what runs.

    Exit code 3: it is not available.
    """
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.cluster.status import standing
    from carrental_mlops.errors import ExitCode

    site = Site.of(open_repo(repo, env), env)
    found = standing(site)
    if as_json:
        show_json(found.as_json())
    else:
        _show(site, found)
    if not found.available:
        raise typer.Exit(ExitCode.PLATFORM)


def _show(site: Site, found: ClusterStanding) -> None:
    from carrental_mlops.cli.terminal import colour, show_table

    typer.echo(f"{site.service} in {site.env} ({site.cluster.name}, {site.cluster.namespace}): "
               f"{colour('available', 'green') if found.available else colour('not available', 'red')}")  # fmt: skip
    for track in found.tracks:
        typer.echo(f"{track['name']}: {track['release']}, model version {track['model_version']}, {track['share']} %")
    if found.batch:
        active = f", {found.batch.active} running" if found.batch.active else ""
        typer.echo(f"batch: {found.batch.schedule} UTC{', suspended' if found.batch.suspended else ''}{active}; "
                   f"started last {found.batch.last_start or 'never'}, "
                   f"went well last {found.batch.last_success or 'never'}")  # fmt: skip
    for said in found.said:
        typer.echo(colour(said, "yellow"))
    if found.pods:
        rows = [(p.name, p.track, p.release, p.phase, p.ready, p.restarts, p.reason) for p in found.pods]
        show_table(("pod", "track", "release", "phase", "ready", "restarts", "reason"), rows)
