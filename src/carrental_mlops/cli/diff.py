"""`crm diff`: what a deployment would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.deploy.diff.objects import ObjectChange

app = verb()


@app.command(epilog="Example: crm diff --env prod --markdown")
def diff(
    cluster: Annotated[
        bool | None,
        typer.Option(
            "--cluster/--no-cluster", help="Against the cluster, or the newest release; default: as it answers."
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a comment for a merge request.")] = False,
    env: Env = None,
    sets: Sets = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What crm.yaml as it stands would change, in words; marks what restarts pods or loses availability."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.diff.against import compare
    from carrental_mlops.deploy.diff.objects import as_json as figures
    from carrental_mlops.deploy.diff.objects import as_markdown

    site = Site.of(open_repo(repo, env, sets or ()), env)
    against, changes = compare(site, cluster, lambda text: typer.echo(text, err=True))
    if as_json:
        show_json({"against": against, **figures(changes)})
    elif markdown:
        typer.echo(as_markdown(changes, f"{site.service} in {site.env}, against {against}"), nl=False)
    else:
        typer.echo(f"against {against}")
        show_changes(changes)


def show_changes(changes: Sequence[ObjectChange]) -> None:
    """The changes by object, in colour on a terminal."""
    from carrental_mlops.cli.terminal import colour
    from carrental_mlops.deploy.diff.objects import marks, summary

    shown = ""
    for change in changes:
        if change.object != shown:
            shown = change.object
            typer.echo(colour(shown, "bold"))
        sign, name = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}[change.kind]
        told = "".join(f"  [{mark}]" for mark in marks(change))
        typer.echo(f"  {colour(f'{sign} {change.said}', name)}{colour(told, 'red')}")
    typer.echo(summary(changes))
