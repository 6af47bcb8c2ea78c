"""`crm hooks`: everything that a team may override."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb

app = verb()


@app.command(epilog="Example: crm hooks train")
def hooks(
    step: Annotated[str | None, typer.Argument(help="Of this step alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """What may be overridden: each hook, what it must return, since which version."""
    from carrental_mlops.cli.terminal import colour, show_json
    from carrental_mlops.scaffold.step_catalogue import read_step, read_steps

    cards = [read_step(step)] if step else read_steps()
    found = [{"step": card["name"], "class": card["class"], **hook} for card in cards for hook in card["hooks"]]
    if as_json:
        show_json(found)
        return
    for hook in found:
        typer.echo(f"{colour(hook['class'] + '.' + hook['name'], 'bold')}  since {hook['since']}")
        typer.echo(f"  def {hook['name']}{hook['signature']}")
        typer.echo(f"  returns {hook['returns']}")
    if not found:
        typer.echo(f"{step} has no hook: its settings in crm.yaml say it all (crm steps show {step})")
