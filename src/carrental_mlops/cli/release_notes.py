"""`crm release-notes`: what a release means for teams, and whom it touches."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.fleet_place import FleetPlace, folders_at
from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json

app = verb()


@app.command(epilog="Example: crm release-notes --to 1.1.0 --fleet ~/repos")
def release_notes(
    to: Annotated[str | None, typer.Option(help="The release; default: the installed version.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Default: the version before it in the changelog.")
    ] = None,
    fleet: FleetPlace = None,
    as_json: Json = False,
) -> None:
    """Hooks that differ, ends that are announced, and the repos that a release touches, as Markdown."""
    from carrental_mlops import __version__
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.fleet.package_releases.release_notes import release_notes as notes
    from carrental_mlops.scaffold.versions import material

    typer.echo(f"reading {fleet} …" if fleet else "comparing versions …", err=True)
    made = notes(material(to or __version__), material(since) if since else None, folders_at(fleet) if fleet else None)
    if as_json:
        show_json(made.to_json())
    else:
        typer.echo(made.markdown())
