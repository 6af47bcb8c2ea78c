"""`crm reproduce`: a registered model made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo, StoreOf

if TYPE_CHECKING:
    from carrental_mlops.orchestration.reproduce import Difference, Reproduction

app = verb()


@app.command(epilog="Example: crm reproduce fraud-payments@3")
def reproduce(
    model: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="VERSION may be champion or challenger.")],
    as_json: Json = False,
    env: StoreOf = None,
    repo: Repo = None,
) -> None:
    """Train a registered version again, in process, from its recorded config and seed; exits 1 if the digest differs.

    What differs is named: data, packages, lock file, git commit, code of a step, config. Nothing is stored.
    """
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import Progress, show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration.reproduce import recorded
    from carrental_mlops.orchestration.reproduce import reproduce as make

    found = open_repo(repo, env)
    slots = found.pipeline(recorded(found, model).pipeline).slots()
    with Progress(slots) as progress:
        made = make(found, model, progress)
    if as_json:
        show_json({**asdict(made), "equal": made.equal})
    else:
        _show(made)
    if not made.equal:
        raise typer.Exit(1)


def _show(made: Reproduction) -> None:
    from carrental_mlops.cli.terminal import colour, show_table

    verdict = colour("equal", "green") if made.equal else colour("different", "red")
    typer.echo(f"{made.model}@{made.version} of {made.run_id}, seed {made.seed}: {verdict}")
    typer.echo(f"  recorded  {made.recorded}")
    typer.echo(f"  now       {made.now}")
    if made.differences:
        show_table(("not as it was", "name", "recorded", "now"), [_row(d) for d in made.differences])
    elif not made.equal:
        typer.echo("nothing recorded differs: a step draws on something outside the run (time, network, threads)")


def _row(difference: Difference) -> tuple[str, str, str, str]:
    sides = (difference.recorded, difference.now)
    return difference.kind, difference.name, *("-" if s is None else s[:40] for s in sides)  # type: ignore[return-value]
