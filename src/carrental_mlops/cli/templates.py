"""`crm templates`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json

app = noun("Templates that a model repo can start from.")


@app.command("list", epilog="Example: crm templates list")
def list_(as_json: Json = False) -> None:
    """Every template, with a line on each."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.catalogue import catalogue

    found = catalogue()
    if as_json:
        show_json([asdict(t) for t in found])
        return
    for template in found:
        typer.echo(f"{template.name}  {template.summary}")


@app.command(epilog="Example: crm templates show fraud-realtime")
def show(
    name: Annotated[str, typer.Argument(help="A name that `crm templates list` prints.")], as_json: Json = False
) -> None:
    """What a template asks, with its defaults."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.answers import complete
    from carrental_mlops.scaffold.catalogue import find

    template = find(name)
    if as_json:
        show_json(asdict(template))
        return
    defaults = complete(template.questions, {})
    typer.echo(f"{template.name} {template.version}: {template.summary}")
    for question in template.questions:
        choices = f" [{', '.join(question.choices)}]" if question.choices else ""
        typer.echo(f"  {question.name:10} {question.prompt}{choices} (default {defaults[question.name]})")
