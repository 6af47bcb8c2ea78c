"""`crm templates`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Trust

if TYPE_CHECKING:
    from carrental_mlops.scaffold.team_templates import TeamTemplate

app = noun("Templates that a model repo can start from.")


@app.command("list", epilog="Example: crm templates list")
def list_(as_json: Json = False) -> None:
    """Every template, where it comes from, and a line on each."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.catalogue import catalogue
    from carrental_mlops.scaffold.team_templates import team_templates

    found = [{**asdict(t), "from": t.origin, "allowed": True} for t in catalogue()]
    found += map(_of_team, team_templates())
    if as_json:
        show_json(found)
        return
    for template in found:
        typer.echo(f"{template['name']}  {template['summary']}  ({template['from']})")


@app.command(epilog="Example: crm templates show fraud-realtime")
def show(
    name: Annotated[str, typer.Argument(help="A name that `crm templates list` prints.")],
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """What a template asks, with its defaults."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.answers import complete
    from carrental_mlops.scaffold.catalogue import find

    template = find(name, trust=trust)
    if as_json:
        show_json({**asdict(template), "from": template.origin})
        return
    defaults = complete(template.questions, {})
    origin = f"{template.origin}: " if template.package else f"{template.version}: "
    typer.echo(f"{template.name} {origin}{template.summary}")
    for question in template.questions:
        choices = f" [{', '.join(question.choices)}]" if question.choices else ""
        typer.echo(f"  {question.name:10} {question.prompt}{choices} (default {defaults[question.name]})")


@app.command(epilog="Example: crm templates new churn-batch --from fraud-realtime")
def new(
    name: Annotated[str, typer.Argument(help="Of the template, kebab-case.")],
    base: Annotated[str, typer.Option("--from", help="The template of ours that it stands on.")] = "fraud-realtime",
    parent: Annotated[Path, typer.Option("--dir", help="Existing folder to make the package in.")] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """A small Python package with a template of your team, which holds only what differs from ours."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.team_package import new_package

    made = new_package(name, base, parent, dry_run=dry_run)
    if as_json:
        show_json(made.to_json())
    elif dry_run:
        typer.echo("\n".join([f"would write into {made.path}:", *(f"  {path}" for path in made.files)]))
    else:
        typer.echo(f"{made.path}: {len(made.files)} files\nNext: cd {made.path} && uv pip install -e . (README.md)")


def _of_team(team: TeamTemplate) -> dict[str, Any]:
    """What the list says of another package's template; one that is not allowed is not read."""
    from carrental_mlops.errors import TemplateError
    from carrental_mlops.scaffold.catalogue import find

    told: dict[str, Any] = {"name": team.name, "from": f"{team.distribution} {team.version}", "allowed": team.allowed}
    if not team.allowed:
        return {**told, "summary": "not allowed: CRM_TEMPLATE_PACKAGES does not name its package"}
    try:
        found = find(team.name)
        if found.package is None:
            return {**told, "summary": "hidden: a template of ours has this name"}
        return {**asdict(found), **told, "from": found.origin}
    except TemplateError as error:
        return {**told, "summary": f"refused: {error.what}"}
