"""`crm render`: what a deployment would apply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carrental_mlops.cli.lazy import verb
from carrental_mlops.cli.options import Env, Json, Repo, Sets

if TYPE_CHECKING:
    from carrental_mlops.core.repo import ModelRepo
    from carrental_mlops.deploy.manifests.render import Rendered
    from carrental_mlops.deploy.releases.release import ModelRef, Release

app = verb()


@app.command(epilog="Example: crm render --env prod --out rendered/")
def render(
    release: Annotated[
        str | None, typer.Option(help="Of this release, such as prod-7; default: the newest, else a preview.")
    ] = None,
    champion: Annotated[
        str | None, typer.Option(help="Beside this release, as `deploy.rollout` has it; default: alone.")
    ] = None,
    weight: Annotated[
        int | None, typer.Option(min=0, max=100, help="Share of requests for the release beside a champion (percent).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write one file an object here, and values.yaml.")] = None,
    env: Env = None,
    sets: Sets = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Print the Kubernetes objects of a release with the crm.yaml of now; asks no cluster."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.manifests.batch import hold_pipelines
    from carrental_mlops.deploy.manifests.graph_check import check_nodes
    from carrental_mlops.deploy.manifests.render import render as rendered_of
    from carrental_mlops.deploy.releases.store import ReleaseStore

    found = open_repo(repo, env, sets or ())
    check_nodes(found.root, env, tuple(sets or ()))
    hold_pipelines(found)
    name, store = env or found.config.local, ReleaseStore(found.root, found.config.deploy.releases)
    newest = store.get(release).release if release else next((s.release for s in store.releases(name, 1)), None)
    beside = store.get(champion).release if champion else None
    wanted = newest or _preview(found, name)
    _show(rendered_of(found.config, name, wanted, beside, weight), wanted, out, as_json)


def _show(rendered: Rendered, release: Release, out: Path | None, as_json: bool) -> None:
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.manifests.render import as_yaml, write

    if out:
        files = [str(path) for path in write(rendered, out)]
        show_json({"release": release.id, "files": files}) if as_json else typer.echo("\n".join(files))
    elif as_json:
        show_json({"release": release.id, "objects": rendered.objects})
    else:
        typer.echo(as_yaml(rendered.objects), nl=False)
    typer.echo(f"{release.id}: {len(rendered.objects)} objects", err=True)


def _preview(repo: ModelRepo, env: str) -> Release:
    from carrental_mlops.deploy.manifests.render import preview_release

    model = _champion(repo)
    of = f"model version {model.version}" if model else "no model: none is registered"
    typer.echo(f"no release in {env} yet, so this is a preview of {of}; its image is not built", err=True)
    return preview_release(repo.config, env, model)


def _champion(repo: ModelRepo) -> ModelRef | None:
    """The registry's champion; None where there is no registry yet, or it does not answer."""
    from carrental_mlops.deploy.releases.release import ModelRef
    from carrental_mlops.errors import PlatformError

    if not repo.config.mlflow.tracking_uri and not (repo.root / ".crm" / "mlflow.db").is_file():
        return None
    from carrental_mlops.integrations.mlflow_registry import registry_for

    try:
        found = registry_for(repo.context()).champion()
    except PlatformError as error:
        typer.echo(f"the registry does not answer: {error.what}", err=True)
        return None
    return ModelRef(name=repo.config.service, version=found.version, digest=found.digest) if found else None
