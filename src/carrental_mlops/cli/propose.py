"""`crm propose`: the best parameters of a tuning run, as a merge request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json

if TYPE_CHECKING:
    from carrental_mlops.fleet.tuned_parameters import Proposed

app = verb()


@app.command(epilog="Example: crm propose run.json --host gitlab --project ds/fraud-payments --dry-run")
def propose(
    run: Annotated[Path, typer.Argument(help="What `crm run training --record` wrote.")],
    host: Annotated[Literal["gitlab", "github"], typer.Option(help="Whose merge request.", envvar="CRM_HOST")],
    project: Annotated[str, typer.Option(help="group/project there.", envvar=["CI_PROJECT_PATH", "GITHUB_REPOSITORY"])],
    url: Annotated[
        str | None, typer.Option(help="Of a host of your own.", envvar=["CI_SERVER_URL", "GITHUB_API_URL"])
    ] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show its text; push and open nothing.")] = False,
) -> None:
    """One merge request with the parameters that a tuning run found; again: the same one, up to date."""
    from carrental_mlops.deploy.ci.run_record import RunRecord
    from carrental_mlops.fleet.hosting import host_of
    from carrental_mlops.fleet.tuned_parameters import propose as proposed

    record = RunRecord.read(run)
    _show(proposed(record, host_of(host, url), project, dry_run=dry_run), as_json)


def _show(found: Proposed, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json

    at = found.request.url if found.request else None
    if as_json:
        show_json({"did": found.did, "why": found.why, "url": at, "text": found.text})
    elif found.did == "tried":
        typer.echo(found.text, nl=False)
    else:
        typer.echo(f"{found.did}: {at or found.why}")
