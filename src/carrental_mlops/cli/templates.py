"""`crm templates`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from carrental_mlops.cli.lazy import noun

app = noun("Templates that a model repo can start from.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog="Example: crm templates list")
def list_(as_json: AsJson = False) -> None:
    """Every template, with a line on each."""
    from carrental_mlops.scaffold.catalogue import catalogue

    found = catalogue()
    if as_json:
        typer.echo(json.dumps([asdict(t) for t in found], indent=2))
        return
    for template in found:
        typer.echo(f"{template.name}  {template.summary}")


@app.command(epilog="Example: crm templates show fraud-realtime")
def show(
    name: Annotated[str, typer.Argument(help="A name that `crm templates list` prints.")], as_json: AsJson = False
) -> None:
    """What a template asks, with its defaults."""
    from carrental_mlops.scaffold.answers import complete
    from carrental_mlops.scaffold.catalogue import find

    template = find(name)
    if as_json:
        typer.echo(json.dumps(asdict(template), indent=2))
        return
    defaults = complete(template.questions, {})
    typer.echo(f"{template.name} {template.version}: {template.summary}")
    for question in template.questions:
        choices = f" [{', '.join(question.choices)}]" if question.choices else ""
        typer.echo(f"  {question.name:10} {question.prompt}{choices} (default {defaults[question.name]})")
