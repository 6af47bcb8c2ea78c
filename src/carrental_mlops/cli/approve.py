"""`crm approve`: somebody's yes to a model, before it is promoted."""

from __future__ import annotations

from typing import Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Json, Repo

app = verb()


@app.command(epilog="Example: crm approve --from staging --to prod")
def approve(
    source: Annotated[str, typer.Option("--from", help="Whose newest available release.")] = "staging",
    target: Annotated[str, typer.Option("--to", help="Where it may go.")] = "prod",
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say so; keep nothing.")] = False,
    repo: Repo = None,
) -> None:
    """Say yes to a model, as whom CRM_OIDC_TOKEN names; in tier 1 who trained it may not (exit 4)."""
    import os

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.releases import identity
    from carrental_mlops.deploy.releases.draft import trained_by
    from carrental_mlops.deploy.releases.store import ReleaseStore
    from carrental_mlops.errors import ConfigError

    found = open_repo(repo, target)
    approval = found.config.deploy.approval
    stored = ReleaseStore(found.root, found.config.deploy.releases).last(source)
    if stored is None:
        raise ConfigError(f"{source} has no available release", f"crm deploy --env {source} --wait")
    model, who = stored.release.model, identity.asker(found.root, approval, os.environ)
    if found.config.tier == 1:
        identity.hold_separation(trained_by(found, model), (who,))
    kept = not dry_run and identity.approve(found.root, target, approval, model, who)
    if as_json:
        show_json({"model": model.model_dump(), "env": target, "by": who.name, "kept": kept})
        return
    where = f"kept in {approval.store}" if kept else "kept nowhere"
    typer.echo(f"{who.name}: model version {model.version} may go to {target}; {where}")
    if not (kept or dry_run):
        typer.echo("deploy.approval.store is not set: who runs `crm promote` says yes by it", err=True)
