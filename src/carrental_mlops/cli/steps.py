"""`crm steps`: list, show, override."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Repo

app = noun("Default steps: list, show, override one.")


@app.command("list", epilog="Example: crm steps list")
def list_steps(as_json: Json = False) -> None:
    """Every default step with its hooks."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.scaffold.step_cards import read_steps

    cards = read_steps()
    if as_json:
        show_json(cards)
        return
    rows = [(c["name"], ", ".join(h["name"] for h in c["hooks"]) or "-", c["summary"]) for c in cards]
    show_table(("step", "hooks", "what you get"), rows)


@app.command(epilog="Example: crm steps show train")
def show(step: str, as_json: Json = False) -> None:
    """Inputs, outputs, settings and hooks of one step."""
    from carrental_mlops.cli.terminal import colour, show_json
    from carrental_mlops.scaffold.step_cards import read_step

    card = read_step(step)
    if as_json:
        show_json(card)
        return
    typer.echo(f"{colour(card['class'], 'bold')} ({card['module']}): {card['summary']}")
    for title, line in (("inputs", _types(card["inputs"])), ("outputs", _types(card["outputs"]))):
        typer.echo(f"{title}: {line or 'none'}")
    for title, lines in (("settings", _settings(card)), ("hooks", _hooks(card))):
        typer.echo(f"{title}:" if lines else f"{title}: none")
        typer.echo("\n".join(f"  {line}" for line in lines), nl=bool(lines))


@app.command(epilog="Example: crm steps override train --hook sample_weight")
def override(
    step: str,
    hook: Annotated[str | None, typer.Option(help="Which hook; a step with one hook needs none.")] = None,
    name: Annotated[
        str | None, typer.Option("--class", help="Name of the subclass; default: from the service.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the change, write nothing.")] = False,
    repo: Repo = None,
) -> None:
    """Write a subclass of STEP with one hook to fill in into the repo's steps.py."""
    from carrental_mlops.config import load
    from carrental_mlops.config.reader import repo_config
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.scaffold.override import plan_override

    root = find_repo(repo)
    plan = plan_override(root, repo_config(load(root)).package, step, hook, name)
    typer.echo(plan.diff() if dry_run else f"wrote {plan.write()}")
    typer.echo(plan.next_step)


def _types(pairs: dict[str, str]) -> str:
    return ", ".join(f"{name}: {type_}" for name, type_ in pairs.items())


def _settings(card: dict[str, Any]) -> list[str]:
    return [f"{name}: {_typed(field)}  {field['description']}".rstrip() for name, field in card["config"].items()]


def _typed(field: dict[str, Any]) -> str:
    return f"{field['type']} = {field['default']}" if "default" in field else str(field["type"])


def _hooks(card: dict[str, Any]) -> list[str]:
    return [f"{hook['name']}{hook['signature']}  {hook['returns']}" for hook in card["hooks"]]
