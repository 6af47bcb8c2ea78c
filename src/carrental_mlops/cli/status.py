"""`crm status`: what runs."""

from __future__ import annotations

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo

app = verb()


@app.command(epilog="Example: crm status --env prod")
def status(env: Env = None, as_json: Json = False, repo: Repo = None) -> None:
    """What runs, whether it is available, its pods, and whether the newest release is what runs."""
    from carrental_mlops.cli.terminal import colour, show_json, show_table
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.cluster.status import standing

    site = Site.of(open_repo(repo, env), env)
    found = standing(site)
    if as_json:
        show_json(found.as_json())
        return
    typer.echo(f"{site.service} in {site.env} ({site.cluster.name}, {site.cluster.namespace}): "
               f"{colour('available', 'green') if found.available else colour('not available', 'red')}")  # fmt: skip
    for track in found.tracks:
        typer.echo(f"{track['name']}: {track['release']}, model version {track['model_version']}, {track['share']} %")
    for said in found.said:
        typer.echo(colour(said, "yellow"))
    if found.pods:
        rows = [(p.name, p.track, p.release, p.phase, p.ready, p.restarts, p.reason) for p in found.pods]
        show_table(("pod", "track", "release", "phase", "ready", "restarts", "reason"), rows)
