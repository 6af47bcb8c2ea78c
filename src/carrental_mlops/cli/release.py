"""`crm release`: what was released, when, by whom, on what evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo

if TYPE_CHECKING:
    from pathlib import Path

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


@app.command(epilog="Example: crm release show prod-7")
def show(name: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False, repo: Repo = None) -> None:
    """One release with its evidence, waivers and events; with --json all that was stored."""
    from carrental_mlops.cli.terminal import show_json, show_table

    store, _ = _store(repo, None)
    stored, events = store.get(name), store.events(name)
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
    first: str,
    second: str,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a comment for a merge request.")] = False,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """What the second release changed in the cluster from the first."""
    from carrental_mlops.cli.diff import show_changes
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.deploy.diff.objects import as_json as figures
    from carrental_mlops.deploy.diff.objects import as_markdown
    from carrental_mlops.deploy.diff.objects import diff as compared

    store, _ = _store(repo, None)
    changes = compared(store.get(first).manifests, store.get(second).manifests)
    if as_json:
        show_json(figures(changes))
    elif markdown:
        typer.echo(as_markdown(changes, f"{first} to {second}"), nl=False)
    else:
        show_changes(changes)


def _store(repo: Path | None, env: str | None) -> tuple[ReleaseStore, str]:
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.deploy.releases.store import ReleaseStore

    found = open_repo(repo, env)
    return ReleaseStore(found.root, found.config.deploy.releases), env or found.config.environments[0]


def _cell(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
