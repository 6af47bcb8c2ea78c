"""`crm replay`: past decisions made again by another model version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Since, Until

if TYPE_CHECKING:
    from carrental_mlops.core.repo import ModelRepo
    from carrental_mlops.serving.replay import Comparison

app = verb()


@app.command(epilog="Example: crm replay --since 2d --model challenger")
def replay(
    model: Annotated[str, typer.Option(help="A version, `champion` or `challenger`.")],
    name: Annotated[str | None, typer.Option("--id", help="One event or request.")] = None,
    since: Since = None,
    until: Until = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many by chance.")] = None,
    seed: Annotated[int, typer.Option(help="Of the chance.")] = 0,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="Opens inputs; default: the one of crm.yaml.")
    ] = None,
    as_json: Json = False,
    env: Env = None,
    repo: Repo = None,
) -> None:
    """Decide past requests again, offline: what changes, and how much money is at stake."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.orchestration.service import make_bundle
    from carrental_mlops.serving.audit_log import Window
    from carrental_mlops.serving.replay import Pick
    from carrental_mlops.serving.replay import replay as decide_again

    if name and (since or until or sample):
        raise typer.BadParameter("--id goes without --since, --until and --sample")
    found = open_repo(repo, env)
    bundle = make_bundle(found, _version(found, model))
    pick = Pick(name, Window(since, until), sample, seed)
    _show(decide_again(found.root, found.config, bundle, key_file, pick), as_json)


def _version(repo: ModelRepo, model: str) -> str | None:
    if model == "champion":
        return None
    if model != "challenger":
        return model
    from carrental_mlops.errors import ConfigError
    from carrental_mlops.integrations.mlflow_registry import registry_for

    found = registry_for(repo.context()).challenger()
    if found is None:
        raise ConfigError(f"{repo.config.service} has no challenger", "crm run training")
    return found.version


def _show(told: Comparison, as_json: bool) -> None:
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json, show_table

    if as_json:
        show_json({**asdict(told), "stakes": told.stakes()})
        return
    if told.changes:
        head = ("time (UTC)", "request", "row", "by", "score", "decision", "new score", "new decision", "EUR")
        show_table(head, [
            (c.time[:19].replace("T", " "), c.request, c.row, c.version, f"{c.score:.4f}", c.decision,
             f"{c.new_score:.4f}", c.new_decision, "-" if c.amount_eur is None else f"{c.amount_eur:.2f}")
            for c in told.changes
        ])  # fmt: skip
        typer.echo()
        stakes = told.stakes().items()
        show_table(("decision", "rows", "EUR"), [(n, int(s["rows"]), f"{s['amount_eur']:.2f}") for n, s in stakes])
        typer.echo()
    typer.echo(f"version {told.version}: {told.events} requests, {told.rows} rows, {told.rescored} with another score, "
               f"{len(told.changes)} decided otherwise")  # fmt: skip
    if told.without_input:
        typer.echo(f"{told.without_input} requests left out: their input is not kept", err=True)
    for why, count in told.refused.items():
        typer.echo(f"{count} requests left out: {why}", err=True)
