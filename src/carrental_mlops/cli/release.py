"""`crm release`: what was released, when, by whom, on what evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo

if TYPE_CHECKING:
    from pathlib import Path

    from carrental_mlops.deploy.releases.release import Stored
    from carrental_mlops.deploy.releases.store import ReleaseStore

app = noun("Releases: list, show, diff.")


@app.command("list", epilog="Example: crm release list --env prod")
def list_releases(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Releases of an environment, newest first, and what became of each."""
    from carrental_mlops.cli.terminal import show_json, show_table

    store, name = _store(repo, env)
    found = [(one.release, store.state(one.release.id) or "not begun") for one in store.releases(name, limit)]
    if as_json:
        show_json([{**release.model_dump(mode="json"), "state": state} for release, state in found])
        return
    head = ("release", "at (UTC)", "state", "model", "image", "content of", "by")
    show_table(head, [(r.id, f"{r.at:%Y-%m-%d %H:%M}", state, r.model.version, r.image.rpartition("@sha256:")[2][:12],
                       r.content_of or r.id, r.by) for r, state in found])  # fmt: skip


@app.command(epilog="Example: crm release show --env prod")
def show(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="Such as prod-7; default: the newest.")] = None,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """One release with its evidence, waivers and events; with --json all that was stored."""
    from carrental_mlops.cli.terminal import show_json, show_table

    store, of = _store(repo, env)
    stored = store.get(name) if name else _newest(store, of, 1)[0]
    events = store.events(stored.release.id)
    if as_json:
        show_json({**stored.model_dump(mode="json"), "events": [event.model_dump(mode="json") for event in events]})
        return
    release = stored.release.model_dump(mode="json", exclude={"evidence", "waivers"})
    show_table(("", ""), [(key, _cell(value)) for key, value in release.items() if value is not None])
    for one in stored.release.evidence:
        typer.echo(f"{one.kind}: {'passed' if one.passed else 'did not pass'}, {one.at:%Y-%m-%d %H:%M} UTC, {one.file}")
        for said in one.said:
            typer.echo(f"  {said}")
    for waiver in stored.release.waivers:
        typer.echo(f"waived: {waiver.what} by {waiver.by} until {waiver.expires:%Y-%m-%d}: {waiver.reason}")
    for event in events:
        typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S} UTC  {event.state}  {event.by}  {event.said}".rstrip())


@app.command(epilog="Example: crm release diff prod-6 prod-7")
def diff(
    first: Annotated[str | None, typer.Argument(metavar="ID", help="Default: the newest but one.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="ID", help="Default: the newest.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a comment for a merge request.")] = False,
    env: Env = None,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What the second release changed in the cluster from the first."""
    from carrental_mlops.cli.diff import show_changes
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.diff.objects import as_json as figures
    from carrental_mlops.deploy.diff.objects import as_markdown
    from carrental_mlops.deploy.diff.objects import diff as compared

    store, of = _store(repo, env)
    new = store.get(second) if second else _newest(store, of, 1)[0]
    old = store.get(first) if first else _newest(store, of, 2)[1]
    changes = compared(old.manifests, new.manifests)
    if as_json:
        show_json(figures(changes))
    elif markdown:
        typer.echo(as_markdown(changes, f"{old.release.id} to {new.release.id}"), nl=False)
    else:
        show_changes(changes)


def _store(repo: Path | None, env: str | None) -> tuple[ReleaseStore, str]:
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.releases.store import ReleaseStore

    found = open_repo(repo, env)
    return ReleaseStore(found.root, found.config.deploy.releases), env or found.config.local


def _newest(store: ReleaseStore, env: str, count: int) -> list[Stored]:
    """The newest releases of `env`, newest first; told off where there are fewer."""
    from carrental_mlops.errors import ConfigError

    found = store.releases(env, count)
    if len(found) < count:
        raise ConfigError(
            f"{env} has {len(found)} releases in {store.shown}", f"crm deploy --env {env}, or another --env"
        )
    return found


def _cell(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
