"""`crm promote`: a release from one environment to the next, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Prometheus, Repo, Source, Target

if TYPE_CHECKING:
    from carrental_mlops.deploy.rollout.promotion import RolloutOutcome

app = verb()


@app.command(epilog="Example: crm promote --from staging --to prod --dry-run")
def promote(
    source: Source = None,
    target: Target = None,
    abort: Annotated[bool, typer.Option("--abort", help="Take a canary that was begun back.")] = False,
    prometheus: Prometheus = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Score it and say what would be done.")] = False,
    repo: Repo = None,
) -> None:
    """Score a release, then canary by canary to all of the traffic; it stops and goes back by itself (exit 4).

    Killed, the same command goes on where it stood, and --abort takes it back, on any machine with the same releases.
    """
    import os

    from carrental_mlops.config.repo import from_to
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.releases.identity import person
    from carrental_mlops.deploy.rollout.promotion import refusal
    from carrental_mlops.orchestration.promoting import Promotion

    first = open_repo(repo)
    begins, ends = from_to(first.config, source, target)
    site = Site.of(open_repo(first.root, ends), ends)
    by = person(site.repo.root, os.environ)
    promotion = Promotion(site, by, lambda text: typer.echo(text, err=True), prometheus)
    if dry_run:
        _tell(promotion.try_abort() if abort else promotion.try_out(begins), as_json)
        return
    outcome = promotion.abort() if abort else promotion.run(begins)
    _show(outcome, as_json)
    if outcome and not abort and (no := refusal(outcome)):
        raise no


def _tell(lines: list[str], as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json

    if as_json:
        show_json({"would": lines})
    else:
        typer.echo("\n".join(lines))


def _show(outcome: RolloutOutcome | None, as_json: bool) -> None:
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json

    if as_json:
        show_json(asdict(outcome) if outcome else {"state": "no_canary"})
    elif outcome is None:
        typer.echo("there is no canary")
    else:
        typer.echo(f"{outcome.release}: {outcome.state.replace('_', ' ')}")
