"""`crm kpi`: from idea to production in numbers, read from what the tools have written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carrental_mlops.cli.fleet_place import FleetPlace, folders_at
from carrental_mlops.cli.lazy import noun
from carrental_mlops.cli.options import Json, Repo, day

if TYPE_CHECKING:
    from carrental_mlops.kpi.overview import Overview

app = noun("From idea to production in numbers: show, report, idea, roadmap, metrics.")

Folders = Annotated[
    list[Path] | None, typer.Argument(help="Model repos, or folders of repos; default: the repo around this folder.")
]
Plan = Annotated[Path | None, typer.Option("--roadmap", metavar="FILE", help="Roadmap: milestones, target, goal.")]
Money = Annotated[Path | None, typer.Option("--costs", metavar="FILE", help="Value, cost and quotas.")]
At = Annotated[
    date | None, typer.Option("--at", parser=day, metavar="DAY", help="As it was at the end of that day, UTC.")
]
Start = Annotated[
    date | None, typer.Option("--start", parser=day, metavar="DAY", help="First day of the roadmap and its target.")
]
Latest = Annotated[str | None, typer.Option(help="Version that repos should have; default: the installed one.")]
Window = Annotated[int, typer.Option("--days", min=7, help="Deployments and failures of so many days.")]


@app.command(epilog="Example: crm kpi show ../models --roadmap roadmap.yaml")
def show(
    folders: Folders = None,
    fleet: FleetPlace = None, roadmap: Plan = None, start: Start = None, costs: Money = None, at: At = None,
    latest: Latest = None, window: Window = 90, as_json: Json = False, repo: Repo = None,
) -> None:  # fmt: skip
    """Lead time by stage, deployments, failures, versions, target, roadmap, cost: one repo or many."""
    from carrental_mlops.cli.terminal import colour, show_json, show_table
    from carrental_mlops.kpi.sections import sections

    told = _overview(folders, fleet, repo, roadmap=roadmap, start=start, costs=costs, at=at, latest=latest,
                     window_days=window)  # fmt: skip
    if as_json:
        show_json(told.model_dump(mode="json"))
        return
    for n, one in enumerate(sections(told)):
        typer.echo(("\n" if n else "") + colour(one.title, "bold"))
        for said in one.said:
            typer.echo(said)
        if one.rows:
            show_table(one.head, one.rows)


@app.command(epilog="Example: crm kpi report ../models --roadmap roadmap.yaml --out kpi")
def report(
    out: Annotated[Path, typer.Option(help="Folder for report.md and report.html.")],
    folders: Folders = None,
    fleet: FleetPlace = None, roadmap: Plan = None, start: Start = None, costs: Money = None, at: At = None,
    latest: Latest = None, window: Window = 90, as_json: Json = False, repo: Repo = None,
) -> None:  # fmt: skip
    """The weekly report as Markdown and as one HTML page with charts."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.files import whole_file
    from carrental_mlops.kpi.report import as_html, as_markdown

    told = _overview(folders, fleet, repo, roadmap=roadmap, start=start, costs=costs, at=at, latest=latest,
                     window_days=window)  # fmt: skip
    for name, text in (("report.md", as_markdown(told)), ("report.html", as_html(told))):
        with whole_file(out / name) as draft:
            draft.write_text(text, encoding="utf-8")
    if as_json:
        show_json({**told.model_dump(mode="json"), "files": [str(out / "report.md"), str(out / "report.html")]})
        return
    typer.echo(f"{out / 'report.md'}\n{out / 'report.html'}")


@app.command(epilog="Example: crm kpi metrics ../models --out /var/lib/node_exporter/crm_kpi.prom")
def metrics(
    folders: Folders = None,
    out: Annotated[Path | None, typer.Option(help="Write here, whole; default: stdout.")] = None,
    fleet: FleetPlace = None, roadmap: Plan = None, start: Start = None, costs: Money = None, at: At = None,
    latest: Latest = None, window: Window = 90, as_json: Json = False, repo: Repo = None,
) -> None:  # fmt: skip
    """The figures in Prometheus' text format, for the textfile collector of node_exporter."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.files import whole_file
    from carrental_mlops.kpi.exposition import as_metrics, samples

    told = _overview(folders, fleet, repo, roadmap=roadmap, start=start, costs=costs, at=at, latest=latest,
                     window_days=window)  # fmt: skip
    if out is not None:
        with whole_file(out) as draft:
            draft.write_text(as_metrics(told), encoding="utf-8")
    if as_json:
        show_json([{"name": name, "labels": labels, "value": value} for name, labels, value in samples(told)])
    elif out is None:
        typer.echo(as_metrics(told), nl=False)


@app.command(epilog="Example: crm kpi idea night-rentals --date 2026-03-02 --person ana@example.com")
def idea(
    feature: Annotated[str, typer.Argument(help="Name that its branch will bear, such as night-rentals.")],
    person: Annotated[str, typer.Option(help="Who had it.")],
    on: Annotated[
        date | None, typer.Option("--date", parser=day, metavar="DAY", help="When; default: today, UTC.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Note an idea in ideas.yaml of the repo, for the team to commit; the service's own name means the service."""
    from carrental_mlops.cli.terminal import show_json
    from carrental_mlops.config import load, repo_config
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.kpi.ideas import FILE, note

    root, today = find_repo(repo), datetime.now(UTC).date()
    repo_config(load(root))
    _, added = note(root, feature, on or today, person, today, dry_run)
    if as_json:
        show_json({"file": FILE, "feature": feature, "date": on or today, "person": person, "added": added})
        return
    word = "would be noted in" if added and dry_run else "noted in" if added else "stands already in"
    typer.echo(f"{feature} {word} {FILE}")
    if added and not dry_run:
        typer.echo(f"git add {FILE} && git commit -m 'Idea: {feature}'", err=True)


@app.command(epilog="Example: crm kpi roadmap ../models --roadmap roadmap.yaml --start 2026-01-05")
def roadmap(
    folders: Folders = None,
    fleet: FleetPlace = None,
    plan: Annotated[Path, typer.Option("--roadmap", metavar="FILE", help="The roadmap.")] = Path("roadmap.yaml"),
    start: Start = None,
    at: At = None,
    example: Annotated[bool, typer.Option("--example", help="Print a roadmap to begin from, and no more.")] = False,
    as_json: Json = False,
    repo: Repo = None,
) -> None:
    """Milestones of a roadmap: what is done by events or by its owner's word, late, at risk."""
    from carrental_mlops.cli.terminal import colour, show_json, show_table
    from carrental_mlops.kpi.roadmap import EXAMPLE

    if example:
        typer.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
        return
    told = _overview(folders, fleet, repo, roadmap=plan, start=start, at=at)
    if as_json:
        found = told.forecast.model_dump(mode="json") if told.forecast else None
        show_json({"milestones": [one.model_dump(mode="json") for one in told.milestones], "forecast": found})
        return
    paint = {"done": "green", "late": "red", "at risk": "yellow", "due soon": "cyan", "planned": "dim"}
    head = ("due", "milestone", "track", "owner", "", "status")
    show_table(head, [(one.due, one.milestone, one.track, one.owner, one.done or one.said,
                       colour(one.status, paint[one.status])) for one in told.milestones])  # fmt: skip


def _overview(folders: list[Path] | None, fleet: str | None, repo: Path | None, **asked: Any) -> Overview:
    from carrental_mlops.config.repo import find_repo
    from carrental_mlops.kpi.ask import WantedFigures, ask

    roots = [*(folders or []), *(folders_at(fleet).values() if fleet else [])]
    roots += [find_repo(repo)] if repo or not roots else []
    return ask(WantedFigures(tuple(roots), **asked), say=lambda text: typer.echo(text, err=True))
