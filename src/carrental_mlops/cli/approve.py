"""`crm approve`: somebody's yes to a model, before it is promoted."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo, Source, Target

app = verb()


@app.command(epilog="Example: crm approve --from staging --to prod")
def approve(
    source: Source = None,
    target: Target = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say so; keep nothing.")] = False,
    repo: Repo = None,
) -> None:
    """Say yes to a model, as whom CRM_OIDC_TOKEN names; in tier 1 who trained it may not (exit 4)."""
    import os

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.config.repo import from_to
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.releases import identity
    from carrental_mlops.deploy.releases.draft import trained_by
    from carrental_mlops.deploy.releases.store import standing_in

    first = open_repo(repo)
    begins, ends = from_to(first.config, source, target)
    found = open_repo(first.root, ends)
    approval = found.config.deploy.approval
    model = standing_in(found.root, open_repo(first.root, begins).config, begins).release.model
    who = identity.asker(found.root, approval, os.environ)
    if found.config.tier == 1:
        identity.hold_separation(trained_by(found, model), (who,))
    kept = not dry_run and identity.approve(found.root, ends, approval, model, who)
    if as_json:
        show_json({"model": model.model_dump(), "env": ends, "by": who.name, "kept": kept})
        return
    where = f"kept in {approval.store}" if kept else "kept nowhere"
    typer.echo(f"{who.name}: model version {model.version} may go to {ends}; {where}")
    if not (kept or dry_run):
        typer.echo("deploy.approval.store is not set: who runs `crm promote` says yes by it", err=True)
