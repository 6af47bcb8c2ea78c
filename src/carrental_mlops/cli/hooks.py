"""`crm hooks`: everything that a team may override, and what this repo overrides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.fleet_place import PLACE, folders_at
from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo

if TYPE_CHECKING:
    from carrental_mlops.core.overrides import Override

app = verb()


@app.command(epilog="Example: crm hooks train")
def hooks(
    step: Annotated[str | None, typer.Argument(help="Of this step alone, or of feature_set or service.")] = None,
    fleet: Annotated[
        str | None,
        typer.Option("--fleet", "--usage", metavar="PLACE", help=f"{PLACE}: count who overrides what; nothing is run."),
    ] = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What may be overridden: each hook, what it must return, since which version; in a repo, where it overrides it."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.scaffold.step_cards import hook_cards

    if fleet is not None:
        _count(fleet, step, as_json)
        return
    cards, own = hook_cards(step), _overrides(repo)
    found = [
        {"step": card["name"], "class": card["class"], **hook, "overrides": _of(card["class"], hook["name"], own)}
        for card in cards
        for hook in card["hooks"]
    ]
    if as_json:
        show_json(found)
        return
    for hook in found:
        _show(hook)
    if not found:
        typer.echo(f"{step} has no hook: its settings in crm.yaml say it all (crm steps show {step})")


def _count(fleet: str, step: str | None, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.fleet.package_releases.usage import usage
    from carrental_mlops.scaffold.step_cards import hook_cards

    only = {card["class"] for card in hook_cards(step)} if step else None
    found = usage(folders_at(fleet))
    shown = {hook: uses for hook, uses in found.hooks.items() if only is None or hook.partition(".")[0] in only}
    if as_json:
        show_json(replace(found, hooks=shown).to_json())
        return
    for hook, uses in shown.items():
        repos = found.repos_of(hook)
        typer.echo(
            f"{hook}  {len(repos)} of {len(found.repos)} {'repo overrides' if len(repos) == 1 else 'repos override'} it"
        )
        for use in uses:
            typer.echo(f"  {use.repo} ({use.version})  {use.place}")
    if not shown:
        typer.echo(f"none of {len(found.repos)} repos overrides a hook" + (f" of {step}" if step else ""))
    for sentence in found.unread:
        typer.echo(f"not counted: {sentence}", err=True)


def _overrides(repo: Path | None) -> list[Override] | None:
    """Those of the repo here; None outside of one, and where it cannot be read and was not asked for."""
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.errors import ConfigError, CrmError

    try:
        root = find_repo(repo)
    except ConfigError:
        if repo is not None:
            raise
        return None
    from carrental_mlops.core.overrides import overrides
    from carrental_mlops.core.repo import open_repo

    try:
        return overrides(open_repo(root))
    except CrmError as error:
        if repo is not None:
            raise
        typer.echo(f"what this repo overrides is not shown: {error}", err=True)
        return None


def _of(cls: str, hook: str, own: list[Override] | None) -> list[dict[str, Any]] | None:
    if own is None:
        return None
    return [
        {"class": o.cls, "place": o.place, "slots": list(o.slots)} for o in own if o.hook == hook and cls in o.bases
    ]


def _show(hook: dict[str, Any]) -> None:
    from carrental_mlops.cli.terminal import colour

    typer.echo(f"{colour(hook['class'] + '.' + hook['name'], 'bold')}  since {hook['since']}")
    typer.echo(f"  def {hook['name']}{hook['signature']}")
    typer.echo(f"  returns {hook['returns']}")
    for own in hook["overrides"] or ():
        runs = f", runs in {', '.join(own['slots'])}" if own["slots"] else ""
        typer.echo(colour(f"  overridden by {own['class']} ({own['place']}){runs}", "green"))
