"""`crm logs`: what the pods say."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Since

app = verb()


@app.command(epilog="Example: crm logs --env prod --since 15m --track canary")
def logs(
    since: Since = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with lines to come, until Ctrl-C.")] = False,
    track: Annotated[str | None, typer.Option(help="Only champion, canary, shadow or ab.")] = None,
    container: Annotated[str | None, typer.Option(help="Only this container.")] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Lines of each container; default: 200 without --since.")
    ] = None,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Lines of every pod of the service, oldest first; each begins with pod and container."""
    import json
    import time

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.pod_logs import LogQuery, lines
    from carrental_mlops.deploy.cluster.site import Site

    site = Site.of(open_repo(repo, env), env)
    seconds = None if since is None else max(1, round(time.time() - since))
    tail = last if last is not None or since is not None else 200
    for line in lines(site, LogQuery(seconds, follow, track, container, tail)):
        told = f"[{line.pod}/{line.container}] {line.text}"
        typer.echo(json.dumps(line.as_json(), ensure_ascii=False) if as_json else told)
