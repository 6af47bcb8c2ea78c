"""`crm deploy`: a release into the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.deploy.cluster.deployment import DeployOutcome

app = verb()
Wait = Annotated[bool, typer.Option("--wait", help="Until it is available.")]
Timeout = Annotated[float, typer.Option(min=1, help="How long --wait waits (seconds).")]


@app.command(epilog="Example: crm deploy --env prod --canary 10 --wait")
def deploy(
    image: Annotated[
        str | None, typer.Option(help="REPOSITORY@sha256:…; default: the newest that `crm image build` pushed here.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Of the registered model in the image; default: as the image's record says.")
    ] = None,
    canary: Annotated[
        int | None, typer.Option(min=1, max=99, help="Share of requests beside the champion (percent).")
    ] = None,
    evidence: Annotated[
        list[Path] | None, typer.Option(help="summary.json of a load test elsewhere. Repeatable.")
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 600,
    env: Env = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the cluster what would change; write nothing.")
    ] = False,
    repo: Repo = None,
) -> None:
    """Release a model: refused without gate and load test; the same command again goes on, or does nothing."""
    import os

    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.cluster.deployment import deploy as put
    from carrental_mlops.deploy.cluster.deployment import try_out
    from carrental_mlops.deploy.cluster.site import Site
    from carrental_mlops.deploy.releases.draft import WantedRelease, draft_of
    from carrental_mlops.deploy.releases.identity import person

    site = Site.of(open_repo(repo, env, sets or ()), env)
    asked = WantedRelease(person(site.repo.root, os.environ), image, version, canary, tuple(evidence or ()))
    draft = draft_of(site.repo, site.env, asked)
    show(try_out(site, draft) if dry_run else put(site, draft, say, timeout if wait else None), as_json)


def say(text: str) -> None:
    """A line of progress."""
    typer.echo(text, err=True)


def show(outcome: DeployOutcome, as_json: bool) -> None:
    """What a deployment or a rollback came to."""
    from carrental_mlops.cli.diff import show_changes
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.diff.objects import as_json as figures

    release = outcome.release
    if as_json:
        tried: dict[str, Any] = figures(outcome.changes) if outcome.did == "tried" else {}
        show_json(
            {"did": outcome.did, "available": outcome.available, "release": release.model_dump(mode="json"), **tried}
        )
    elif outcome.did == "tried":
        typer.echo(f"would be {release.id}: {release.image}, model version {release.model.version}")
        show_changes(outcome.changes)
    else:
        state = "available" if outcome.available else "applied; crm status says when it is available"
        typer.echo(f"{release.id}: {outcome.did}, {state}")
