"""`crm pipelines`: list and draw."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Repo

app = noun("Pipelines of the model repo: list, draw.")


@app.command("list", epilog="Example: crm pipelines list")
def list_pipelines(as_json: Json = False, repo: Repo = None) -> None:
    """Every pipeline of the repo with its steps."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.core.repo import open_repo

    found = open_repo(repo).pipelines()
    if as_json:
        show_json(
            [
                {"name": n, "class": c.__name__, "steps": list(c.slots()), "dropped": c.dropped()}
                for n, c in found.items()
            ]
        )
        return
    show_table(("pipeline", "class", "steps"), [(n, c.__name__, " ".join(c.slots())) for n, c in found.items()])


@app.command(epilog="Example: crm pipelines show training --format svg > training.svg")
def show(
    pipeline: str,
    form: Annotated[
        Literal["text", "mermaid", "svg", "json"], typer.Option("--format", help="What to draw as.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
    repo: Repo = None,
) -> None:
    """Draw one pipeline: its steps, which output goes where, and the slots that the repo dropped."""
    from carrental_mlops.cli.terminal import columns, show_json
    from carrental_mlops.core import drawing
    from carrental_mlops.core.repo import open_repo

    found = open_repo(repo).pipeline(pipeline)
    if as_json or form == "json":
        show_json(drawing.as_data(found))
    elif form == "text":
        typer.echo(drawing.as_text(found, columns()))
    else:
        typer.echo(drawing.as_svg(found) if form == "svg" else drawing.as_mermaid(found))
