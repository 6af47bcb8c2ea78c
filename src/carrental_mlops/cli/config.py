"""`crm config`: show, explain, set, validate, schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.config import Section

app = noun("crm.yaml: show, explain, set, validate, schema.")


@app.command(epilog="Example: crm config show --env prod")
def show(env: Env = None, sets: Sets = None, as_json: Json = False, repo: Repo = None) -> None:
    """Every value that is set, with the file and line that set it."""
    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.config import load
    from carrental_mlops.config.repo import find_repo

    section = load(find_repo(repo), env, sets or ())
    if as_json:
        show_json(section.value)
        return
    show_table(("key", "value", "from"), _leaves(section, section.value, ()))


@app.command(epilog="Example: crm config explain columns.label_delay_days")
def explain(key: str, env: Env = None, sets: Sets = None, as_json: Json = False, repo: Repo = None) -> None:
    """What KEY means, its type and default, its value now and where that was written."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import colour, show_json
    from carrental_mlops.core.config_help import explain as look_up
    from carrental_mlops.core.repo import open_repo

    found = look_up(open_repo(repo, env, sets or ()), key)
    if as_json:
        show_json(asdict(found))
        return
    typer.echo(f"{colour(found.key, 'bold')}: {found.doc or 'no description'}")
    typer.echo(f"  type     {found.type}")
    typer.echo(f"  default  {'none, it must be set' if found.required else repr(found.default)}")
    typer.echo(f"  now      {found.value!r} ({found.place})")


@app.command(
    "set", epilog="Example: crm config set steps.ingest.source=data/payments.parquet columns.rename.TX_ID=payment_id"
)
def set_(
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file as it would be.")] = False,
    repo: Repo = None,
) -> None:
    """Write values into config/crm.yaml; comments stay, and a value that no step takes is refused."""
    from carrental_mlops.config.edit import set_values
    from carrental_mlops.config.reader import parse_pair
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.files import whole_file

    found = open_repo(repo, None, pairs)
    for pipeline in found.pipelines().values():
        found.step_configs(pipeline)
    path = found.root / "config" / "crm.yaml"
    text = set_values(path, dict(parse_pair(pair) for pair in pairs))
    if dry_run:
        typer.echo(text, nl=False)
        return
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
    typer.echo(f"config/crm.yaml: {', '.join(pair.partition('=')[0] for pair in pairs)}")


@app.command(epilog="Example: crm config validate")
def validate(repo: Repo = None) -> None:
    """Hold crm.yaml, and crm.yaml with each overlay, against what every step of every pipeline takes."""
    from carrental_mlops.core.repo import open_repo

    first = open_repo(repo)
    for env in first.config.environments:
        found = open_repo(first.root, env)
        for pipeline in found.pipelines().values():
            found.step_configs(pipeline)
        typer.echo(f"{env}: ok")


@app.command(epilog="Example: crm config schema --write")
def schema(
    write: Annotated[bool, typer.Option("--write", help="To config/.crm-schema.json, which editors read.")] = False,
    repo: Repo = None,
) -> None:
    """JSON schema of this repo's crm.yaml, for editors."""
    import json

    from carrental_mlops.core.config_help import schema as make
    from carrental_mlops.core.repo import open_repo

    found = open_repo(repo)
    text = json.dumps(make(found), indent=2, default=str)
    if write:
        path = found.root / "config" / ".crm-schema.json"
        path.write_text(text + "\n", encoding="utf-8")
    typer.echo("wrote config/.crm-schema.json" if write else text)


def _leaves(section: Section, value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(section, inner, (*at, key))
        return
    yield ".".join(map(str, at)), str(value), section.place(at)
