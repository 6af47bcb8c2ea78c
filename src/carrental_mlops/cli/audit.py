"""`crm audit`: what the service keeps of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Env, Json, Repo, Since, Until

app = noun("What was answered: show, get, ship, prune.")
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="Opens inputs; default: the one of crm.yaml.")]


@app.command(epilog="Example: crm audit show --since 2h --decision block")
def show(
    since: Since = None,
    until: Until = None,
    decision: Annotated[str | None, typer.Option(help="Only answers that hold it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
    env: Env = None,
    repo: Repo = None,
) -> None:
    """The latest answers, newest first."""
    import heapq

    from carrental_mlops.cli.terminal import show_json, show_table
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.serving.audit_log import Window, events

    found = open_repo(repo, env)
    folder = found.root / found.config.serving.audit.folder
    all_of_it = events(folder, Window(since, until))
    wanted = (event for event in all_of_it if decision is None or decision in event["data"]["decision"])
    latest = heapq.nlargest(limit, wanted, key=lambda event: str(event["time"]))
    if as_json:
        show_json(latest)
    else:
        show_table(("time (UTC)", "request", "version", "decision", "score", "reason", "flags"), map(_line, latest))


@app.command(epilog="Example: crm audit get 5f2c91aa03b7c4d20 --input")
def get(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of an event or a request.")],
    with_input: Annotated[bool, typer.Option("--input", help="Decrypt and show what was asked.")] = False,
    key_file: KeyFile = None,
    env: Env = None,
    repo: Repo = None,
) -> None:
    """One answer, as JSON; a request that was sent twice has two."""
    from dataclasses import asdict

    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.serving.audit_log import asked, find

    found = open_repo(repo, env)
    events = find(found.root / found.config.serving.audit.folder, name)
    if with_input:
        full = asked(found.root, found.config, key_file, events)
        events = [{**event, "input": asdict(full[event["id"]]) if event["id"] in full else None} for event in events]
    show_json(events)


@app.command(epilog="Example: crm audit key /run/secrets/audit.key")
def key(file: Annotated[Path, typer.Argument(help="To be written.")]) -> None:
    """Write a fresh key for the full input, readable by its owner alone."""
    from carrental_mlops.serving.vault import write_key

    write_key(file)
    typer.echo(f"{file}: keep a copy apart from the audit; without it no input can be opened")


@app.command(epilog="Example: crm audit ship --once")
def ship(
    once: Annotated[bool, typer.Option("--once", help="Send what is closed, then end.")] = False,
    env: Env = None,
    repo: Repo = None,
) -> None:
    """Send closed files to `serving.audit.sink`, and remove what was kept long enough, until stopped."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.serving.logs import log_to_stderr
    from carrental_mlops.serving.ship import Shipper, sink_of, until_stopped

    found = open_repo(repo, env)
    audit = found.config.serving.audit
    shipper = Shipper(found.root, audit, sink_of(found.root, audit))
    if once:
        typer.echo(f"{shipper.once()} events sent")
    else:
        log_to_stderr()
        until_stopped(shipper)


@app.command(epilog="Example: crm audit prune --dry-run")
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    env: Env = None,
    repo: Repo = None,
) -> None:
    """Remove files older than `keep_days` and `input_keep_days`; with a sink, only events that it has."""
    from carrental_mlops.core.repo import open_repo
    from carrental_mlops.serving.ship import prune as remove

    found = open_repo(repo, env)
    gone = remove(found.root, found.config.serving.audit, dry_run)
    for path in gone:
        typer.echo(str(path))
    typer.echo(f"{len(gone)} files {'would be ' if dry_run else ''}removed", err=True)


def _line(event: dict[str, Any]) -> tuple[str, ...]:
    data = event["data"]
    scores = [f"{score:.4f}" for score in data["score"]]
    cells = (data["decision"], scores, data["reason"])
    decision, score, reason = (values[0] if len(values) == 1 else f"{len(values)} rows" for values in cells)
    return (
        event["time"][:19].replace("T", " "),
        data["request"],
        data["model"]["version"],
        decision,
        score,
        reason,
        " ".join(data["flags"]),
    )
